"""What staff did stays on record: nobody edits or deletes it in the admin."""

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import User
from accounts.tests.admin import text_of, url_of
from tests.plugins.guestlist import PASSWORD
from tokens.tests.admin import revoke_by_page

ENTRIES = "/admin/admin/logentry/"


@pytest.fixture
def entry(browser, support, api, alice):
    revoke_by_page(browser(support), api(alice).device, note="Reported as lost.")
    return LogEntry.objects.get()


def test_the_list_says_who_did_what_when(browser, manager, entry):
    answer = browser(manager).get(ENTRIES)
    assert answer.status_code == 200
    assert "support Devices | device Unknown device Revoked: Reported as lost." in text_of(answer)


def test_an_entry_leads_to_its_object(browser, manager, alice, api, support):
    device = api(alice).device
    revoke_by_page(browser(support), device)
    link = f'<a href="{url_of(device)}">Unknown device</a>'
    assert link in browser(manager).get(ENTRIES).content.decode()


def test_an_entry_of_what_was_deleted_leads_nowhere(browser, root, bob):
    browser(root).post(url_of(bob, "delete"), {"post": "yes"})
    html = browser(root).get(ENTRIES).content.decode()
    assert "bob" in html
    assert url_of(bob) not in html


def test_entries_are_found_by_whose_they_are(browser, manager, entry):
    page = browser(manager)
    assert "Reported as lost." in text_of(page.get(ENTRIES + "?q=support"))
    assert "Reported as lost." not in text_of(page.get(ENTRIES + "?q=manager"))


def test_nobody_edits_or_deletes_an_entry(browser, root, entry):
    page = browser(root)
    assert page.get(url_of(entry)).status_code == 200
    assert page.post(url_of(entry), {"change_message": "x"}).status_code == 403
    assert page.post(url_of(entry, "delete"), {"post": "yes"}).status_code == 403
    assert page.post(ENTRIES + "add/", {"change_message": "x"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    page.post(ENTRIES, data)
    entry.refresh_from_db()
    assert entry.change_message == "Revoked: Reported as lost."


def test_support_does_not_read_the_entries(browser, support, entry):
    assert browser(support).get(ENTRIES).status_code == 403


def test_whose_acts_are_on_record_is_not_deleted_in_the_admin(browser, root, support, entry):
    answer = browser(root).post(url_of(support, "delete"), {"post": "yes"})
    assert answer.status_code == 403
    assert LogEntry.objects.filter(pk=entry.pk).exists()
    assert User.objects.filter(pk=support.pk).exists()


def test_whose_acts_are_on_record_does_not_delete_themselves(browser, support, entry):
    answer = browser(support).post("/account/delete", {"password": PASSWORD})
    assert "What you did as staff stays on record: ask to be deactivated." in text_of(answer)
    assert User.objects.filter(pk=support.pk).exists()
