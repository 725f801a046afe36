"""The list of queued mails: who sees it, what it shows, and another try for what was given up."""

import pytest
from django.contrib.auth.models import Permission
from django.db.models.functions import Now

from accounts.mail import send_mail_to
from accounts.models import QueuedMail
from tests.plugins.guestlist import make_user

LIST = "/admin/accounts/queuedmail/"


@pytest.fixture(autouse=True)
def mails_wait(settings):
    settings.SEND_MAILS_AT_ONCE = False


@pytest.fixture
def given_up(alice):
    """A mail to alice's former address, given up, whose facts nobody has to read."""
    send_mail_to("former@example.org", alice, "new_names", {"note": "a private note"})
    QueuedMail.objects.update(given_up_at=Now(), attempts=3, error="SMTPRecipientsRefused 550")
    return QueuedMail.objects.get()


def retry(page, mail):
    body = {"action": "retry", "_selected_action": [mail.pk], "index": "0"}
    return page.post(LIST, body, follow=True)


def test_list_shows_to_whom_and_why_not(browser, manager, given_up):
    page = browser(manager).get(LIST).content.decode()

    for words in ("New names", "alice", "given up", "SMTPRecipientsRefused 550"):
        assert f">{words}</td>" in page


@pytest.mark.parametrize("path", ["", "{pk}/change/"])
def test_no_page_shows_what_the_mail_says_or_its_address(browser, root, given_up, path):
    answer = browser(root).get(LIST + path.format(pk=given_up.pk))

    assert answer.status_code == 200
    for secret in ("private note", "former@", given_up.sealed_address):
        assert secret not in answer.content.decode()


def test_support_does_not_see_the_list(browser, support):
    assert browser(support).get(LIST).status_code == 403


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nobody_adds_or_deletes_a_mail_there(browser, root, given_up, path):
    assert browser(root).get(LIST + path.format(pk=given_up.pk)).status_code == 403


@pytest.mark.parametrize(("state", "found"), [("waiting", 0), ("given_up", 1), ("", 1)])
def test_list_is_filtered_by_state(browser, root, given_up, state, found):
    page = browser(root).get(LIST, {"state": state} if state else {}).content.decode()

    assert page.count('class="field-shown_kind') == found


@pytest.mark.parametrize(("term", "found"), [("alice", 1), ("alice@example.org", 1), ("bob", 0)])
def test_list_is_searched_by_person(browser, root, given_up, bob, term, found):
    page = browser(root).get(LIST, {"q": term}).content.decode()

    assert page.count('class="field-shown_kind') == found


def test_mail_that_was_given_up_is_tried_again(browser, manager, given_up, caplog):
    answer = retry(browser(manager), given_up)

    assert "1 mail will be tried again." in answer.content.decode()
    assert QueuedMail.objects.due().get().attempts == 0
    [line] = [record for record in caplog.records if record.getMessage() == "mails retried"]
    assert (line.count, line.by) == (1, manager.pk)


def test_mail_that_waits_is_not_hurried(browser, manager, given_up, caplog):
    """A worker may have it."""
    QueuedMail.objects.update(given_up_at=None, attempts=3)

    answer = retry(browser(manager), given_up)

    said = "None of them was given up. The others are tried by themselves."
    assert said in answer.content.decode()
    assert QueuedMail.objects.get().attempts == 3
    assert "mails retried" not in caplog.messages


def test_trying_again_has_a_right_of_its_own(browser, given_up):
    reader = make_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_queuedmail"))

    page = browser(reader)

    assert page.get(LIST).status_code == 200
    retry(page, given_up)
    assert QueuedMail.objects.given_up().exists()


def test_mail_about_a_deleted_account_and_to_nobody_are_listed(browser, root, alice, client):
    alice.delete()
    client.post("/password/reset", {"email": "nobody@example.org"})

    page = browser(root).get(LIST).content.decode()

    for name in ("alice", "nobody"):
        assert f'<td class="field-shown_person">{name}</td>' in page
