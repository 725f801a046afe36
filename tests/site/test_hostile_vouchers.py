"""Recovery codes and links as nobody would type them: refused, and told to nobody."""

import json
import logging
from urllib.parse import quote, quote_from_bytes

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts import passkeys
from accounts.models import QueuedMail, RecoveryCode, Throttle
from accounts.passkeys import PasskeyRefused, Voucher
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import undone

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]

MARK = "zq7mark"  # in each of them, so that it is found wherever it went
FORM = "application/x-www-form-urlencoded"
UTF_7 = 'multipart/form-data; boundary="b"; charset="utf-7"'
WORST = ["\0", "\ud800", "\udfff:\ud800", "::", "A" * 100_000]
texts = st.one_of(st.text(st.characters(codec=None)), st.text("A2-: \0\n", max_size=40))
anything = st.one_of(texts, st.binary())
often = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture
def tab(browser, support, settings):
    """A browser of staff who have a passkey and codes, and used none of them here."""
    settings.STAFF_NEEDS_PASSKEY = True
    give_passkey(support, vouched=True)
    passkeys.make_codes(support, device="test", origin={})
    return browser(support, raise_request_exception=False)


def marked(text):
    """The text with the mark in it, as the bytes of a form."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return MARK.encode() + raw


def assert_told_nobody(caplog, answer):
    lines = "".join(f"{vars(record)!r}" for record in caplog.records if is_ours(record))
    assert MARK not in lines
    assert MARK not in answer.content.decode()
    assert MARK not in repr(list(LogEntry.objects.values()) + list(QueuedMail.objects.values()))
    assert MARK not in repr([(one.subject, one.body) for one in mail.outbox])
    assert RecoveryCode.objects.count() == passkeys.CODES


def is_ours(record):
    return not record.name.startswith(("django.db", "django.request", "asyncio"))


@often
@given(text=anything)
@example(text=WORST[0])
@example(text=WORST[1])
@example(text=WORST[4])
def test_forms_refuse_any_code_and_link(tab, caplog, text):
    caplog.set_level(logging.DEBUG)
    sent = quote_from_bytes(marked(text))
    for path in ("/account/passkeys/options", "/account/passkeys/recover"):
        for field in ("recovery_code", "link"):
            with undone():
                Throttle.objects.all().delete()
                answer = tab.post(path, f"{field}={sent}&passkey=x", content_type=FORM)
                assert answer.status_code in (200, 400, 403)
                assert_told_nobody(caplog, answer)


@often
@given(text=anything)
@example(text=WORST[0])
@example(text=WORST[1])
@example(text=WORST[4])
def test_the_page_of_a_link_refuses_any_link(tab, text):
    path = "/account/passkeys/first/" + quote_from_bytes(marked(text), safe="")
    assert tab.get(path).status_code in (301, 403, 404)
    assert tab.post(path, {"passkey": "x", "link": "y"}).status_code in (200, 301, 403, 404)
    assert Client().get(path).status_code in (301, 302, 400, 404)  # 400: it is too long


@pytest.mark.parametrize("text", ["+2AA-", "+AAA-", "+2AA", "\xff", "+3/8-:+2AA-"])
@pytest.mark.parametrize("field", ["recovery_code", "link"])
def test_other_encodings_are_refused(tab, text, field):
    """UTF-7 has lone surrogates, which no other body of a form has."""
    body = f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n--b--\r\n'
    for path in ("/account/passkeys/options", "/account/passkeys/recover"):
        answer = tab.generic("POST", path, body.encode("latin-1"), content_type=UTF_7)
        assert answer.status_code in (200, 400)


@often
@given(text=texts)
@example(text=WORST[1])
@example(text=WORST[2])
@example(text=WORST[4])
def test_vouchers_are_refused_and_have_no_repr(tab, support, text):
    for voucher in (Voucher(code=MARK + text), Voucher(link=MARK + text)):
        assert MARK not in repr(voucher)
        Throttle.objects.all().delete()
        with pytest.raises(PasskeyRefused) as refusal:
            passkeys.check_voucher(support, voucher, device="x")
        assert MARK not in f"{refusal.value!r}{refusal.value}"


def test_a_link_is_in_no_line_mail_or_entry(tab, support, root, caplog):
    caplog.set_level(logging.DEBUG)
    support.passkeys.all().delete()
    path = passkeys.make_link(support, by=None).partition("testserver")[2]
    link = path.rpartition("/")[2]
    Client().get(path)
    options = tab.post("/account/passkeys/options", {"link": link}).json()
    answer = json.dumps(Authenticator().make(options))
    for _ in range(2):
        tab.post(path, {"passkey": answer, "link": link})
        tab.get(path)
    assert support.passkeys.get().vouched
    lines = "".join(f"{vars(record)!r}" for record in caplog.records if is_ours(record))
    told = repr([(one.subject, one.body, one.alternatives) for one in mail.outbox])
    rows = repr(list(LogEntry.objects.values()) + list(QueuedMail.objects.values()))
    for form in (link, quote(link), link.split("%3A")[-1]):
        assert form not in lines + told + rows
