"""The queue of mails: what waits in it, who sends it, and what becomes of a mail that cannot go."""

import re
import threading
import time
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.delivery import deliver, due_mails, sum_up
from accounts.mail import send_mail, send_mail_to, send_mails
from accounts.models import QueuedMail, User
from accounts.models.mails import KEPT_FOR, LEASE, MAX_ATTEMPTS
from accounts.verification import send_verification
from accounts.worker import Worker
from tests.plugins.guestlist import NEW_PASSWORD, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mails_wait(settings):
    settings.SEND_MAILS_AT_ONCE = False


def work():
    """One round of a worker."""
    deliver(due_mails())


def make_due():
    QueuedMail.objects.update(not_before=Now() - timedelta(seconds=1))


def tell(user, **facts):
    send_mail(user, "revoked", {"count": 1, "devices": [], **facts})


def ask_for_reset(client, email):
    assert client.post("/password/reset", {"email": email}).status_code == 302


def events(caplog):
    records = [record for record in caplog.records if record.name == "accounts.delivery"]
    return [(record.getMessage(), getattr(record, "why", None)) for record in records]


class ClaimedMeanwhile(BaseEmailBackend):
    """A server that fails after another worker has claimed the mail."""

    def send_messages(self, messages):
        QueuedMail.objects.update(attempts=7, not_before=Now())
        raise ConnectionResetError


# Waiting


def queue(**values):
    return QueuedMail.objects.create(kind="revoked", username="alice", **values)


def test_figures_of_an_empty_queue():
    figures = {"waiting": 0, "given_up": 0, "oldest": 0.0, "age": 0.0}
    assert QueuedMail.objects.figures() == figures


def test_figures_count_what_waits_and_what_was_given_up(django_assert_num_queries):
    queue(not_before=Now() + timedelta(hours=1), happened_at=Now() - timedelta(minutes=50))
    queue(not_before=Now() - timedelta(minutes=5))
    long_ago = Now() - timedelta(days=1)
    queue(not_before=long_ago, happened_at=long_ago, given_up_at=Now())

    with django_assert_num_queries(1):
        figures = QueuedMail.objects.figures()

    assert (figures["waiting"], figures["given_up"]) == (2, 1)
    assert 300 <= figures["oldest"] < 3000 <= figures["age"] < 86_400


def test_figures_of_mails_that_are_not_due_yet():
    queue(not_before=Now() + timedelta(hours=1), happened_at=Now() + timedelta(hours=1))

    figures = {"waiting": 1, "given_up": 0, "oldest": 0.0, "age": 0.0}
    assert QueuedMail.objects.figures() == figures


def test_mail_waits_for_the_worker_and_is_gone_once_it_is_sent(alice, mailoutbox):
    tell(alice)
    assert mailoutbox == []

    work()

    [message] = mailoutbox
    assert message.to == ["alice@example.org"]
    assert not QueuedMail.objects.exists()


def test_mail_of_a_transaction_that_is_rolled_back_is_not_sent(alice, mailoutbox):
    with transaction.atomic():
        tell(alice)
        transaction.set_rollback(True)
    work()

    assert mailoutbox == []


def test_many_mails_are_queued_by_one_statement(alice, bob, django_assert_num_queries):
    with django_assert_num_queries(1):
        send_mails("revoked", [(user, {"count": 1}) for user in (alice, bob)])

    assert QueuedMail.objects.count() == 2


def test_mail_says_when_it_happened_and_not_when_it_was_sent(alice, mailoutbox):
    tell(alice)
    QueuedMail.objects.update(happened_at="2026-03-01T10:20:00Z")

    work()

    assert "When: 1 March 2026, 10:20 UTC" in mailoutbox[0].body


def whole_queue():
    """Each cell of the queue, as text and as bytes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_queuedmail")
        cells = [cell for row in cursor.fetchall() for cell in row]
    return b"\n".join(
        bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode()
        for cell in cells
    )


@pytest.mark.django_db(transaction=True)
def test_dump_of_the_queue_has_no_link_token_or_address(client, api, alice, bob, root, rf):
    """Every kind waits: what it holds is of no use to whoever reads it."""
    phone = api(alice)
    ask_for_reset(client, alice.email)
    ask_for_reset(client, "nobody@example.org")
    body = {"username": "carol", "email": "carol@example.org", "password": NEW_PASSWORD}
    api().post("signup", body)
    phone.patch("me", {"email": "new@example.org", "current_password": "four quiet herons at dawn"})
    body = {"current_password": "four quiet herons at dawn", "new_password": NEW_PASSWORD}
    phone.post("password", body)
    bob.delete()
    make_user("boss", is_staff=True, is_superuser=True)

    kinds = set(QueuedMail.objects.values_list("kind", flat=True))
    assert kinds >= {"password_reset", "verify_email", "email_change", "account_deleted"}
    assert kinds >= {"password_changed", "new_superuser"}
    dump = whole_queue()
    assert not re.search(rb"example|https?:|/reset|/email/|/not-me/", dump)
    for user in User.objects.all():
        assert user.email.encode() not in dump


# Links


def test_link_is_made_when_the_mail_is_sent(client, alice, mailoutbox):
    ask_for_reset(client, alice.email)
    QueuedMail.objects.update(happened_at=Now() - timedelta(hours=3))

    work()

    link = re.search(r"https://testserver(/password/\S+)", mailoutbox[0].body)[1]
    assert client.get(link, follow=True).context["validlink"]


def change_password(user):
    user.set_password(NEW_PASSWORD)
    user.save()


def change_address(user):
    User.objects.filter(pk=user.pk).update(
        email="other@example.org", email_verified_at=timezone.now()
    )


def deactivate(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def wait_a_day(user):
    QueuedMail.objects.update(happened_at=Now() - timedelta(days=1, minutes=1))


OVERTAKING = [change_password, change_address, deactivate, wait_a_day]


@pytest.mark.parametrize("change", OVERTAKING)
def test_reset_link_that_was_overtaken_is_dropped(client, alice, mailoutbox, caplog, change):
    ask_for_reset(client, alice.email)

    change(alice)
    work()

    assert mailoutbox == []
    assert not QueuedMail.objects.exists()
    assert ("mail not sent", "overtaken") in events(caplog)


@pytest.mark.parametrize("change", OVERTAKING)
def test_link_to_a_new_address_that_was_overtaken_is_dropped(alice, mailoutbox, caplog, change):
    send_verification(alice, "new@example.org")

    change(alice)
    work()

    assert [message.to for message in mailoutbox] == [["alice@example.org"]]  # of the warning
    assert ("mail not sent", "overtaken") in events(caplog)


def test_link_to_the_own_address_outlives_a_new_password(alice, mailoutbox):
    User.objects.update(email_verified_at=None)
    alice.refresh_from_db()
    send_verification(alice, alice.email)

    change_password(alice)
    work()

    assert [message.to for message in mailoutbox] == [["alice@example.org"]]


def test_warning_goes_to_the_address_that_is_being_replaced(alice, mailoutbox):
    send_verification(alice, "new@example.org")

    change_address(alice)
    work()

    assert [message.to for message in mailoutbox] == [["alice@example.org"]]
    assert mailoutbox[0].subject == "Guestlist: Your email address is about to change"


def test_mail_goes_to_the_verified_address_of_now(alice, mailoutbox):
    tell(alice)

    change_address(alice)
    work()

    assert [message.to for message in mailoutbox] == [["other@example.org"]]


def test_mail_without_a_verified_address_is_dropped(alice, mailoutbox, caplog):
    tell(alice)

    User.objects.update(email_verified_at=None)
    work()

    assert mailoutbox == []
    assert events(caplog) == [("mail not sent", "the address is not verified")]


def test_mail_to_a_deleted_account_is_dropped_but_for_the_one_that_says_so(
    alice, mailoutbox, caplog
):
    tell(alice)

    alice.delete()
    work()

    [message] = mailoutbox
    assert message.to == ["alice@example.org"]
    assert message.subject == "Guestlist: Your account was deleted"
    assert "Hello alice," in message.body
    assert ("mail not sent", "the account is gone") in events(caplog)


def test_mail_to_nobody_is_dropped_without_a_word(client, mailoutbox, caplog):
    ask_for_reset(client, "nobody@example.org")
    assert QueuedMail.objects.count() == 1

    work()

    assert mailoutbox == []
    assert not QueuedMail.objects.exists()
    assert events(caplog) == []


def test_new_secret_key_gives_up_what_only_the_old_one_opens(alice, settings, mailoutbox, caplog):
    send_mail_to("alice@example.org", alice, "new_names", {"username": "alicia"})
    settings.SECRET_KEY = "another" * 10

    work()

    assert mailoutbox == []
    assert events(caplog) == [("mail given up", None)]
    assert QueuedMail.objects.get().error == "Unreadable"


@pytest.mark.parametrize("target", ["password_reset", "verify_email"])
def test_sealed_address_opens_in_its_own_row_alone(client, alice, bob, mailoutbox, target):
    """Somebody who can write rows, and has a mail to their own address queued, gets no link."""
    send_mail_to("thief@example.org", bob, "verify_email")
    thiefs = QueuedMail.objects.get()
    ask_for_reset(client, alice.email)
    send_verification(alice, "new@example.org")

    QueuedMail.objects.filter(person=alice, kind=target).update(
        sealed_address=thiefs.sealed_address
    )
    thiefs.delete()
    work()

    assert ["thief@example.org"] not in [message.to for message in mailoutbox]
    assert QueuedMail.objects.given_up().get().error == "Unreadable"


# Failures


def test_mail_is_tried_again_with_longer_and_longer_pauses(alice):
    pauses = [QueuedMail(attempts=number).pause for number in range(1, MAX_ATTEMPTS + 1)]

    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (15, 30, 60, 120)]
    assert max(pauses) == timedelta(minutes=15)
    assert timedelta(hours=20) < sum(pauses, timedelta()) < timedelta(hours=28)


def test_mail_that_the_server_postpones_is_sent_later(alice, mail_server, caplog):
    mail_server.answers["alice@example.org"] = "451 4.7.1 alice@example.org is greylisted"
    tell(alice)

    work()
    work()  # too soon: its pause is not over

    queued = QueuedMail.objects.get()
    assert (queued.attempts, queued.error) == (1, "SMTPRecipientsRefused 451")
    assert events(caplog) == [("mail not sent", None)]
    assert "@example" not in caplog.text

    mail_server.answers.clear()
    make_due()
    work()
    assert [to for to, _ in mail_server.received] == ["alice@example.org"]
    assert not QueuedMail.objects.exists()


def test_attempts_are_counted_as_one_mail(alice, mail_server):
    mail_server.answers["alice@example.org"] = "451 later"
    tell(alice)
    for _ in range(8):
        make_due()
        work()
    mail_server.answers.clear()

    make_due()
    work()

    [(_, content)] = mail_server.received
    assert "Mails like this" not in content


def test_recipient_whom_the_server_refuses_is_given_up(alice, mail_server, caplog):
    mail_server.answers["alice@example.org"] = "550 5.1.1 alice@example.org unknown"
    tell(alice)

    work()

    assert QueuedMail.objects.given_up().get().error == "SMTPRecipientsRefused 550"
    assert events(caplog) == [("mail given up", None)]
    assert [record.levelname for record in caplog.records][-1] == "ERROR"
    assert "@example" not in caplog.text


@pytest.mark.parametrize("address", ["a\nb@example.org", "@example.org", "a@b@c"])
def test_malformed_address_is_given_up(alice, mail_server, address):
    User.objects.update(email=address)
    tell(alice)

    work()

    assert mail_server.received == []
    assert QueuedMail.objects.given_up().count() == 1


def test_server_that_is_away_costs_no_mail(alice, bob, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tell(alice)
    tell(bob)

    work()

    assert set(QueuedMail.objects.waiting().values_list("attempts", "error")) == {
        (1, "ConnectionRefusedError: [Errno 111] Connection refused")
    }


def test_mail_is_given_up_after_the_last_attempt(alice, mail_server, caplog):
    mail_server.answers["alice@example.org"] = "451 later"
    tell(alice)
    QueuedMail.objects.update(attempts=MAX_ATTEMPTS - 1)

    work()

    assert QueuedMail.objects.given_up().exists()
    assert events(caplog) == [("mail given up", None)]


def test_mail_that_cannot_be_written_holds_up_no_other(alice, bob, mailoutbox, caplog):
    """For example of a kind that a newer release has queued, or with facts of another shape."""
    send_mail(alice, "no_such_kind", {})
    send_mail(alice, "revoked", {"devices": 5})
    send_mail(alice, "revoked", {"at": "yesterday"})
    tell(bob)

    work()

    assert [message.to for message in mailoutbox] == [["bob@example.org"]]
    errors = QueuedMail.objects.order_by("pk").values_list("error", flat=True)
    assert [*errors] == ["KeyError", "TypeError", "ValueError"]
    assert "Traceback" in caplog.text


def test_mail_that_was_given_up_is_tried_again_on_demand(alice, mailoutbox):
    tell(alice)
    QueuedMail.objects.update(given_up_at=Now(), attempts=MAX_ATTEMPTS)
    work()
    assert mailoutbox == []

    assert QueuedMail.objects.retry() == 1
    work()

    assert len(mailoutbox) == 1


def test_retry_leaves_what_waits_as_it_is(alice):
    tell(alice)
    QueuedMail.objects.update(not_before=Now() + timedelta(hours=1))

    assert QueuedMail.objects.retry() == 0
    assert due_mails() == []


# Several workers


def test_mail_is_claimed_once(alice):
    tell(alice)
    mails = QueuedMail.objects.all()

    assert [mails.claim(), mails.claim()] == [True, False]


def test_mail_of_a_worker_that_died_is_sent_after_its_lease(alice, mailoutbox):
    tell(alice)
    QueuedMail.objects.all().claim()
    work()
    assert mailoutbox == []

    QueuedMail.objects.update(not_before=F("not_before") - LEASE)
    work()

    assert len(mailoutbox) == 1


def test_late_worker_does_not_postpone_the_mail_of_another(alice, settings):
    """Its lease was over, and another worker has claimed the mail."""
    settings.EMAIL_BACKEND = f"{__name__}.ClaimedMeanwhile"
    tell(alice)

    work()

    assert QueuedMail.objects.get().attempts == 7
    assert due_mails()


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_each_mail_once(alice, bob, mail_server):
    for user in (alice, bob):
        send_mails("revoked", [(user, {"count": 1})] * 5)

    def run():
        deliver(due_mails())
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(mail_server.received) == 10
    assert (
        len({re.search("Message-ID: (.*)", content)[1] for _, content in mail_server.received})
        == 10
    )
    assert not QueuedMail.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_mails_share_a_connection(alice, mail_server):
    send_mails("revoked", [(alice, {"count": 1})] * 5)

    work()

    assert (len(mail_server.received), mail_server.sessions) == (5, 1)


def test_each_attempt_has_the_same_message_id(alice, mail_server):
    """By it programs recognise a mail that the server took and did not confirm."""
    mail_server.fault = "dies"
    tell(alice)
    work()
    mail_server.mend()
    make_due()
    work()

    first, second = (
        re.search("Message-ID: (.*)", content)[1] for _, content in mail_server.received
    )
    assert first == second
    assert not QueuedMail.objects.exists()


# Sums


def test_more_than_five_of_a_kind_are_summed_up(alice, mailoutbox):
    for _ in range(12):
        tell(alice)

    work()

    assert len(mailoutbox) == 6
    assert "From now on, not each of them is sent." in mailoutbox[4].body
    assert "due 10 times within an hour. 4 were not sent." in mailoutbox[5].body
    assert not QueuedMail.objects.exists()
    assert sum_up(11) is None


# The command


@pytest.mark.django_db(transaction=True)
def test_command_sends_what_is_due(alice, mailoutbox, capsys):
    tell(alice)

    call_command("send_mails", once=True)

    assert len(mail.outbox) == 1
    assert capsys.readouterr().out == "Done. Mails in the queue: 0 waiting, 0 given up.\n"


@pytest.mark.django_db(transaction=True)
def test_command_says_what_stays(alice, bob, mail_server, capsys):
    mail_server.answers = {"alice@example.org": "451 later", "bob@example.org": "550 no"}
    tell(alice)
    tell(bob)

    call_command("send_mails", once=True)

    assert capsys.readouterr().out == "Done. Mails in the queue: 1 waiting, 1 given up.\n"


@pytest.mark.django_db(transaction=True)
def test_command_fails_without_its_queue(alice, settings):
    settings.EMAIL_BACKEND = "no.such.Backend"
    tell(alice)

    with pytest.raises(CommandError, match="ModuleNotFoundError: No module named 'no'"):
        call_command("send_mails", once=True)


@pytest.mark.django_db(transaction=True)
def test_stale_mails_are_purged(alice, mailoutbox, caplog):
    tell(alice)
    tell(alice)
    QueuedMail.objects.filter(pk=QueuedMail.objects.first().pk).update(
        happened_at=Now() - KEPT_FOR - timedelta(minutes=1)
    )

    call_command("send_mails", once=True)

    assert len(mail.outbox) == 1
    [purged] = [record for record in caplog.records if record.getMessage() == "mails purged"]
    assert purged.count == 1


def rename_queue(former, new):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {former} RENAME TO {new}")


@pytest.mark.django_db(transaction=True)
def test_worker_outlives_its_database_and_says_so_once(alice, mail_server, caplog, monkeypatch):
    monkeypatch.setattr("accounts.worker.POLL", 0.01)
    tell(alice)
    rename_queue("accounts_queuedmail", "elsewhere")
    worker = Worker(once=False)
    try:
        worker.start()
        wait_until(lambda: "mail queue unavailable" in caplog.messages)
    finally:
        rename_queue("elsewhere", "accounts_queuedmail")

    wait_until(lambda: mail_server.received)

    worker.stopping.set()
    worker.join()
    assert caplog.messages.count("mail queue unavailable") == 1


def wait_until(condition):
    """Give up after a minute, which is no measure of anything."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError
