"""The reasons that staff choose from, and the note after them."""

import pytest

from accounts.tests.admin import text_of, url_of
from tokens.tests.admin import WAYS, confirm, revoke_by_page


@pytest.mark.parametrize(
    ("reason", "note", "text"),
    [
        ("Reported stolen.", "", "Reported stolen."),
        ("Reported stolen.", "Call 555.", "Reported stolen. Call 555."),
        ("", "Call 555.", "Call 555."),
    ],
)
@pytest.mark.parametrize("revoke", WAYS)
def test_person_reads_the_reason_and_the_note(
    browser, support, api, alice, revoke, reason, note, text
):
    phone = api(alice)
    assert revoke(browser(support), phone.device, reason=reason, note=note).status_code == 302
    refused = phone.get("me").json()
    assert (refused["reason"], refused["note"]) == ("staff", text)


@pytest.mark.parametrize(
    ("reason", "note", "message"),
    [
        ("", " \0 ", "Choose a reason or write a note. The person reads it."),
        ("Fired.", "", "Select a valid choice. Fired. is not one of the available choices."),
    ],
)
@pytest.mark.parametrize("revoke", WAYS)
def test_nothing_ends_without_a_reason(browser, support, api, alice, revoke, reason, note, message):
    phone, page = api(alice), browser(support)
    asked = revoke(page, phone.device, reason=reason, note=note)
    assert message in text_of(asked)
    assert phone.get("me").status_code == 200

    assert confirm(page, asked, reason="Reported lost.", note="").status_code == 302
    assert phone.get("me").json()["note"] == "Reported lost."


def test_reasons_are_those_of_the_site(browser, support, api, alice, settings):
    settings.REVOKE_REASONS = ["R" * 200]
    phone, page = api(alice), browser(support)
    asked = page.get(url_of(phone.device, "revoke"))
    assert "R" * 200 in text_of(asked)
    assert 'maxlength="299"' in asked.content.decode()

    revoke_by_page(page, phone.device, reason="R" * 200, note="n" * 299)

    assert phone.get("me").json()["note"] == f"{'R' * 200} {'n' * 299}"
