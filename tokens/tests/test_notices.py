"""Mails about devices: who is told what and when, and what the link in a mail may do."""

import json
import re
import time
from html import unescape
from html.parser import HTMLParser
from smtplib import SMTPServerDisconnected

import pytest
from django.core import signing
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client as Browser

from accounts.models import QueuedMail, User
from accounts.verification import send_verification, tell_of_new_names
from tests.plugins.guestlist import FIREFOX, NEW_PASSWORD, PASSWORD, revoke_shown
from tokens import flows, notices
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.statements import look_at_devices

ANDROID = "Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"
BERN, SAME_NETWORK, BERLIN = "85.1.20.30", "85.1.20.31", "91.64.12.10"
EVIL = "www.evil.example"
HOSTILE = "<script>alert(1)</script><a href=//evil.example>https://evil.example/</a>"

HARMLESS = {"a", "body", "br", "div", "h1", "head", "html", "meta", "p", "title"}
HARMLESS |= {"table", "tbody", "td", "th", "tr"}


class Refusing(BaseEmailBackend):
    def send_messages(self, messages):
        raise ConnectionRefusedError("no mail server here")


class HangingUp(BaseEmailBackend):
    def send_messages(self, messages):
        raise SMTPServerDisconnected("it hung up")


@pytest.fixture
def sign_in(api, mails_of):
    """`sign_in(user)` are the mails about that sign-in."""

    def run(user, agent=FIREFOX, address=BERN):
        return mails_of(lambda: api(user, headers={"user-agent": agent}, REMOTE_ADDR=address))

    return run


def html_of(message):
    [(html, kind)] = message.alternatives
    assert kind == "text/html"
    return html


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def links_in(message):
    return [at.get("href") for tag, at in Elements(html_of(message)).found if tag == "a"]


def path_in(message):
    """The path of the one link in a mail, the same in the text and in the HTML."""
    [link] = links_in(message)
    assert message.body.endswith(f":\n{link}\n")
    return link.removeprefix("https://testserver")


def rows_in(message):
    """The table of a mail in its order. The HTML has the same rows as the text."""
    rows = re.findall(r"^([A-Z][\w ]+): (.+)$", message.body, re.MULTILINE)
    rows = [row for row in rows if row[0] != "Questions"]
    cells = re.findall(r"<(?:th|td)[^>]*>(.*?)</t[hd]>", html_of(message))
    assert [unescape(cell) for cell in cells] == [cell for row in rows for cell in row]
    return rows


# A new sign-in


def test_first_device_of_an_account_is_silent(sign_in, alice):
    assert sign_in(alice) == []


@pytest.mark.asvs("6.3.5")
def test_sign_in_on_an_unknown_device_is_told(sign_in, alice):
    sign_in(alice)

    [message] = sign_in(alice, ANDROID, BERLIN)

    device = alice.devices.get(ip_address=BERLIN)
    assert message.to == ["alice@example.org"]
    assert message.subject == "Guestlist: New sign-in"
    for text in (message.body, html_of(message)):
        assert "Hello alice," in text
        assert (
            "Somebody signed in to your account at https://testserver on a device that is" in text
        )
        assert "Firefox on Android" in text
        assert f"{device.location} ({BERLIN})" in text
        assert f"{device.created_at:%-d %B %Y, %H:%M} UTC" in text
    assert path_in(message).startswith("/not-me/")
    assert str(device.pk) not in message.body


@pytest.mark.asvs("6.3.5")
@pytest.mark.parametrize("url", ["/api/v1/login", "/login", "/admin/login/"])
@pytest.mark.parametrize(("wrong", "told"), [(4, False), (5, True), (9, True)])
def test_success_after_many_wrong_passwords_is_told_though_the_device_is_known(
    sign_in, mails_of, support, url, wrong, told
):
    """From wherever they were tried, by whichever of the account's names."""
    User.objects.filter(pk=support.pk).update(email_verified_at=support.date_joined)
    sign_in(support)

    def post(name, password, address=BERN):
        kind = {"content_type": "application/json"} if "api" in url else {}
        browser = Browser(headers={"user-agent": FIREFOX}, REMOTE_ADDR=address)
        return browser.post(url, {"username": name, "password": password}, **kind)

    for number in range(wrong):
        post(["support", support.email][number % 2], "guessed", f"198.51.100.{number}")
    mails = mails_of(lambda: post("support", PASSWORD))

    assert [message.subject for message in mails] == ["Guestlist: New sign-in"] * told
    for message in mails:
        for text in (message.body, html_of(message)):
            assert f"at https://testserver, after {wrong} wrong passwords." in text
            assert "new to us" not in text
        assert path_in(message).startswith("/not-me/")
    assert mails_of(lambda: post("support", PASSWORD)) == []


@pytest.mark.asvs("6.3.5")
@pytest.mark.parametrize("sign_in_by", ["api", "browser", "admin"])
def test_every_way_of_signing_in_is_told(sign_in, mails_of, support, browser, sign_in_by):
    sign_in(support)
    body = {"username": "support", "password": PASSWORD}
    url = {"api": "/api/v1/login", "browser": "/login", "admin": "/admin/login/"}[sign_in_by]
    kind = {"content_type": "application/json"} if sign_in_by == "api" else {}
    agent = {"user-agent": ANDROID}

    def act():
        Browser(headers=agent, REMOTE_ADDR=BERLIN).post(url, body, **kind)

    assert [message.subject for message in mails_of(act)] == ["Guestlist: New sign-in"]


@pytest.mark.parametrize(
    ("agent", "address", "told"),
    [
        (FIREFOX, BERN, 0),
        (FIREFOX, SAME_NETWORK, 0),
        (FIREFOX, "85.1.99.9", 0),  # the same place
        (FIREFOX, BERLIN, 1),
        (FIREFOX.replace("145", "146"), BERN, 0),  # the same client, kept up to date
        (ANDROID, BERN, 1),
        ("", BERN, 1),
    ],
)
def test_client_and_network_that_are_known_are_silent(sign_in, alice, agent, address, told):
    sign_in(alice)
    assert len(sign_in(alice, agent, address)) == told


@pytest.mark.parametrize(
    ("address", "told"),
    [("2001:db8:1:1::2", 0), ("2001:db8:1:2::1", 1), ("192.0.2.1", 1)],
)
def test_network_of_ipv6_is_its_64_bits(sign_in, alice, address, told):
    sign_in(alice, address="2001:db8:1:1::1")
    assert len(sign_in(alice, address=address)) == told


@pytest.mark.parametrize(("days", "told"), [(29, 0), (31, 1)])
def test_device_is_known_for_30_days(sign_in, alice, age, days, told):
    sign_in(alice)
    age(alice.devices.get(), days=days)
    assert len(sign_in(alice)) == told


def test_device_that_was_signed_out_is_still_known(sign_in, alice):
    sign_in(alice)
    alice.devices.revoke(reason="logout")
    assert sign_in(alice) == []


def test_devices_of_others_are_not_known(sign_in, alice, bob):
    sign_in(alice, ANDROID)
    sign_in(bob, FIREFOX)
    assert len(sign_in(bob, ANDROID)) == 1


def test_refused_sign_in_is_not_told(api, sign_in, alice, mails_of):
    sign_in(alice)
    body = {"username": "alice", "password": "wrong"}
    assert mails_of(lambda: api(REMOTE_ADDR=BERLIN).post("login", body)) == []


# This wasn't me


@pytest.fixture
def not_me(sign_in, alice):
    """The link of a mail about a sign-in of a stranger."""
    sign_in(alice)
    [message] = sign_in(alice, ANDROID, BERLIN)
    return path_in(message)


def stranger():
    return IssuedToken.objects.with_state().get(ip_address=BERLIN)


@pytest.mark.asvs("3.5.3")
def test_link_shows_the_device_and_ends_nothing(client, not_me):
    answer = client.get(not_me)
    assert answer.status_code == 200
    html = answer.content.decode()
    assert "Firefox on Android" in html
    assert BERLIN in html
    assert stranger().state == "live"


@pytest.mark.asvs("6.3.6")
def test_post_of_the_link_ends_that_one_device_and_signs_nobody_in(client, not_me, alice):
    answer = client.post(not_me)

    assert answer.status_code == 200
    assert "Firefox on Android is signed out." in answer.content.decode()
    device = stranger()
    assert (device.state, device.revoked_reason, device.revoked_by) == ("revoked", "user", alice)
    assert alice.devices.live().count() == 1
    assert alice.devices.count() == 2
    assert "sessionid" not in "".join(answer.cookies)
    assert client.get("/devices/").url.startswith("/login")


def test_link_ends_the_same_device_once(client, not_me, alice):
    client.post(not_me)
    first = stranger().revoked_at

    assert "is signed out." in client.post(not_me).content.decode()
    assert "is signed out." in client.get(not_me).content.decode()
    assert stranger().revoked_at == first


def test_link_ends_its_device_whoever_is_signed_in(browser, not_me, bob):
    page = browser(bob)
    page.post(not_me)
    assert stranger().state == "revoked"
    assert page.get("/devices/").status_code == 200


@pytest.mark.parametrize(("seconds", "works"), [(-10, True), (10, False)])
def test_link_is_good_for_7_days(client, not_me, monkeypatch, seconds, works):
    now = time.time() + 7 * 24 * 3600 + seconds
    monkeypatch.setattr(time, "time", lambda: now)

    answer = client.post(not_me)

    assert answer.status_code == (200 if works else 400)
    assert (stranger().state == "revoked") == works


@pytest.mark.parametrize(
    "tamper",
    [
        lambda link: link[:-1],
        lambda link: link + "x",
        lambda link: "/not-me/" + signing.dumps(str(stranger().pk)),
        lambda link: f"/not-me/{stranger().pk}",
        lambda link: "/not-me/%00",
    ],
)
def test_link_that_is_not_ours_is_refused(client, not_me, tamper):
    for act in (client.get, client.post):
        answer = act(tamper(not_me))
        assert answer.status_code == 400
        assert "This link is not valid, or older than 7 days." in answer.content.decode()
    assert stranger().state == "live"


def test_link_of_a_deleted_device_is_refused(client, not_me):
    IssuedToken.objects.all().delete()
    assert client.post(not_me).status_code == 400


@pytest.mark.asvs("3.5.1")
def test_post_of_the_link_needs_a_csrf_token(not_me):
    assert Browser(enforce_csrf_checks=True).post(not_me).status_code == 403
    assert stranger().state == "live"


# The password


def change_by_page(browser, api, user):
    body = {
        "old_password": PASSWORD,
        "new_password1": NEW_PASSWORD,
        "new_password2": NEW_PASSWORD,
    }
    page = browser(user)
    return lambda: page.post("/password/change", body)


def change_by_api(browser, api, user):
    phone = api(user)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return lambda: phone.post("password", body)


@pytest.mark.asvs("6.3.7")
@pytest.mark.parametrize("change", [change_by_page, change_by_api])
def test_password_change_is_told(browser, api, alice, mails_of, change):
    [message] = mails_of(change(browser, api, alice))
    assert message.to == ["alice@example.org"]
    assert message.subject == "Guestlist: Your password was changed"
    assert path_in(message) == "/password/reset"
    assert "was changed. Every other device was signed out." in message.body
    assert [label for label, _ in rows_in(message)] == ["Device", "Where", "When"]
    for secret in (PASSWORD, NEW_PASSWORD):
        assert secret not in message.body


def test_password_change_says_where_the_request_came_from(api, alice, mails_of):
    phone = api(alice, headers={"user-agent": ANDROID}, REMOTE_ADDR=BERN)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    phone.http.defaults["REMOTE_ADDR"] = BERLIN
    [message] = mails_of(lambda: phone.post("password", body))
    assert rows_in(message)[:2] == [
        ("Device", "Firefox on Android"),
        ("Where", f"Germany ({BERLIN})"),
    ]


@pytest.mark.asvs("6.3.7")
def test_reset_by_mail_is_told_as_one(verified, mails_of):
    thief = Browser(headers={"user-agent": ANDROID}, REMOTE_ADDR=BERLIN)
    [message] = mails_of(lambda: thief.post("/password/reset", {"email": verified.email}))
    assert "Somebody asked for a new password for your account" in message.body
    where = [("Device", "Firefox on Android"), ("Where", f"Germany ({BERLIN})")]
    assert rows_in(message)[:2] == where
    form = thief.get(path_in(message), follow=True).redirect_chain[-1][0]
    body = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}

    [message] = mails_of(lambda: thief.post(form, body))

    assert "was reset with a link from our mail. Every device was signed out." in message.body
    assert "Change the password of your mailbox first" in message.body
    assert rows_in(message)[:2] == where


def test_refused_password_change_is_not_told(api, alice, mails_of):
    phone = api(alice)
    body = {"current_password": "wrong", "new_password": NEW_PASSWORD}
    assert mails_of(lambda: phone.post("password", body)) == []


# The account


def test_deleted_account_is_told_at_the_address_that_it_had(laptop, alice, mails_of):
    alice_at = {"password": PASSWORD}
    [message] = mails_of(lambda: laptop.post("/account/delete", alice_at))
    assert (message.to, message.subject) == (
        ["alice@example.org"],
        "Guestlist: Your account was deleted",
    )
    assert "Your account at https://testserver was deleted, with all its devices." in message.body
    rows = rows_in(message)
    assert rows[:2] == [("Device", "Firefox on Linux"), ("Where", "127.0.0.1")]
    assert links_in(message) == []


def test_account_that_staff_delete_is_told_unless_its_address_is_not_verified(
    browser, root, alice, bob, mails_of
):
    User.objects.filter(pk=bob.pk).update(email_verified_at=None)
    staff = browser(root)
    body = {"action": "delete_selected", "_selected_action": [alice.pk, bob.pk], "post": "yes"}
    [message] = mails_of(lambda: staff.post("/admin/accounts/user/", body))
    assert message.to == ["alice@example.org"]
    assert rows_in(message)[-1] == ("By", "our staff")


# A reuse


@pytest.mark.asvs("6.3.5")
def test_reuse_tells_both_sides_once(api, alice, mails_of):
    phone = api(alice, headers={"user-agent": ANDROID}, REMOTE_ADDR=BERN)
    stolen = {"refresh_token": phone.pair["refresh_token"]}
    phone.keep(phone.post("refresh", stolen).json()).get("me")
    alice.devices.update(rotated_at=alice.date_joined.replace(year=2020))
    thief = api(headers={"user-agent": "curl/8.16.0"}, REMOTE_ADDR=BERLIN)

    [message] = mails_of(lambda: thief.post("refresh", stolen))

    assert message.subject == "Guestlist: A device was used from two places"
    assert "Device: Firefox on Android" in message.body
    first, again = re.findall(r"^Used (?:first|again): (.+)$", message.body, re.MULTILINE)
    assert first.startswith(f"Firefox on Android, Switzerland ({BERN}), ")
    assert again.startswith(f"curl, Germany ({BERLIN}), ")
    assert "This can mean that somebody copied it." in message.body
    assert path_in(message) == "/devices/"
    assert mails_of(lambda: thief.post("refresh", stolen)) == []


# Ended by staff, or by the limit


def test_revocation_by_staff_is_told_with_the_note(api, alice, support, mails_of):
    phone = api(alice, headers={"user-agent": ANDROID}, REMOTE_ADDR=BERLIN)
    phone.patch(f"devices/{phone.pair['device']['id']}", {"name": "Ana's phone"})
    alice.devices.update(last_seen_at="2026-11-28T22:10:00Z")

    [message] = mails_of(
        lambda: flows.revoke_for_user(alice, alice.devices.all(), by=support, note="Call 555.")
    )

    assert message.to == ["alice@example.org"]
    assert message.subject == "Guestlist: A device was signed out"
    assert "Our staff signed one of your devices out at https://testserver." in message.body
    *rows, when, by, note = rows_in(message)
    assert rows == [
        ("Device", "Firefox on Android, named “Ana's phone”"),
        ("Last seen", f"28 November 2026, 22:10 UTC, Germany ({BERLIN})"),
    ]
    assert when[1].endswith(" UTC")
    assert (by, note) == (("By", "our staff (support)"), ("Note", "“Call 555.”"))
    assert path_in(message) == "/devices/"


def test_revocation_of_many_devices_describes_the_five_seen_last(api, alice, support, mails_of):
    for number in range(7):
        api(alice, headers={"user-agent": f"App{number}/1"})
    devices = alice.devices.all()

    [message] = mails_of(lambda: flows.revoke_for_user(alice, devices, by=None))

    assert message.subject == "Guestlist: 7 devices were signed out"
    assert "Our staff signed 7 of your devices out" in message.body
    rows = rows_in(message)
    assert [text for label, text in rows if label == "Device"] == [
        f"App{number}" for number in (6, 5, 4, 3, 2)
    ]
    assert rows[-3] == ("And", "2 more")
    assert rows[-1] == ("By", "our staff")


def test_revocation_of_what_had_ended_is_not_told(api, alice, support, mails_of):
    api(alice)
    alice.devices.revoke(reason="logout")
    devices = alice.devices.all()
    assert mails_of(lambda: flows.revoke_for_user(alice, devices, by=support)) == []


def test_incident_is_told_once_to_each_person(api, alice, bob, root, mails_of):
    """What is mailed at all ends in one batch."""
    assert flows.incident.MAX_MAILED <= flows.incident.BATCH_SIZE
    for _ in range(3):
        api(alice)
    api(bob)

    def act():
        devices = IssuedToken.objects.all()
        for _ in flows.incident.end(devices, flows.incident.find(devices), note="A leak."):
            pass

    messages = mails_of(act)

    assert sorted((*message.to, message.subject) for message in messages) == [
        ("alice@example.org", "Guestlist: 3 devices were signed out"),
        ("bob@example.org", "Guestlist: A device was signed out"),
    ]
    assert all(("Note", "“A leak.”") in rows_in(message) for message in messages)


@pytest.mark.parametrize("action", ["one", "user", "selection"])
def test_revocation_in_the_admin_is_told(browser, api, root, alice, bob, mails_of, action):
    page, phone, _ = browser(root), api(alice), api(bob)
    body = {"confirmed": "yes", "note": "Lost."}
    url = {
        "one": f"/admin/tokens/issuedtoken/{phone.device.pk}/revoke/",
        "user": f"/admin/accounts/user/{alice.pk}/revoke/",
        "selection": "/admin/tokens/issuedtoken/",
    }[action]
    if action == "selection":
        ids = [device.pk for device in IssuedToken.objects.filter(kind="api")]
        body |= {"action": "revoke_selected", "_selected_action": ids}

    messages = mails_of(lambda: revoke_shown(page, url, body))

    told = {"alice@example.org", "bob@example.org"} if action == "selection" else {alice.email}
    assert {message.to[0] for message in messages} == told
    assert len(messages) == len(told)
    for message in messages:
        assert rows_in(message)[-2:] == [("By", "our staff (root)"), ("Note", "“Lost.”")]


def test_own_sign_out_is_not_told(browser, api, alice, mails_of):
    page, _ = browser(alice), api(alice)
    assert mails_of(lambda: page.post("/devices/sign-out-others/")) == []
    assert mails_of(lambda: page.post("/logout")) == []


@pytest.mark.asvs("7.1.2")
def test_limit_is_told(sign_in, alice, settings):
    settings.MAX_DEVICES_PER_USER = 1
    sign_in(alice)

    [message] = sign_in(alice)

    assert message.subject == "Guestlist: A device was signed out"
    assert "may be signed in on at most 1 device. There was one sign-in more" in message.body
    assert [label for label, _ in rows_in(message)] == ["Device", "Last seen", "When"]


# What is in a mail


def hostile_mails(alice, sign_in, mails_of):
    """A mail of each kind about a device whose client, place and name are hostile."""
    sign_in(alice)
    other = Client(ip_address=BERLIN, user_agent=f"{EVIL}/1")
    texts = {"name": HOSTILE[:64], "browser": EVIL, "os": HOSTILE[:64], "location": HOSTILE}
    User.objects.filter(pk=alice.pk).update(username=EVIL)
    alice.devices.update(**texts, rotated_user_agent=f"{EVIL}/1")
    device = alice.devices.with_state().get()
    fresh = IssuedToken(created_at=device.now, user=device.user, **{**texts, "os": EVIL})
    note = {"count": 1, "by": device.user, "note": HOSTILE}
    origin = notices.origin_of(device)
    about = [
        lambda: notices.tell_of_reuse(device, other),
        lambda: notices.tell_of_other_client(device, BERN, other),
        lambda: notices.tell_of_revocation(device.user, [device], **note),
        lambda: notices.tell_of_limit(device.user, [device]),
        lambda: notices.tell_of_password_change(device.user, origin),
        lambda: tell_of_new_names(alice, device.user, origin),
        lambda: send_verification(device.user, "bob@www.evil.example", origin),
        lambda: notices.tell_of_login(fresh, look_at_devices(alice.pk, fresh.browser, fresh.os)),
        device.user.delete,
    ]
    return [message for act in about for message in mails_of(act)]


def test_hostile_words_are_only_words_in_mails(alice, sign_in, mails_of):
    messages = hostile_mails(alice, sign_in, mails_of)
    assert len(messages) == 10
    for message in messages:
        html = html_of(message)
        assert "<script>" not in html, message.subject
        assert "&amp;lt;" not in html, message.subject
        assert {tag for tag, _ in Elements(html).found} <= HARMLESS, message.subject
        links = links_in(message)
        assert len(links) <= 1
        assert all(link.startswith("https://testserver/") for link in links), message.subject


def test_no_mail_program_makes_a_link_of_words_of_a_stranger(alice, sign_in, mails_of):
    """Programs make links of example.org, https:// and a@b.org in any mail. The only such words
    are our own address, and what staff wrote to the person."""
    for message in hostile_mails(alice, sign_in, mails_of):
        for text in (message.subject, message.body, unescape(html_of(message))):
            words = re.sub(r"<[^>]*>|“[^”]*</a>”", " ", text).split()
            found = [word for word in words if re.search(r"\w\.[a-z]|\w:/|\w@\w", word)]
            assert {re.sub(r"(//testserver).*", r"\1", word) for word in found} <= {
                "https://testserver"
            }, message.subject


def test_name_of_a_device_cannot_begin_a_line_of_its_own(api, alice, sign_in, mails_of):
    """Nor end the header: names are kept without control characters."""
    sign_in(alice)
    message = sign_in(alice, "curl/8.16.0\r\nhttps://evil.example/", BERLIN)[0]
    assert "evil" not in message.body
    phone = api(alice)
    phone.patch(f"devices/{phone.pair['device']['id']}", {"name": "A\r\n\r\nhttps://evil/"})
    assert "\n" not in phone.device.name


def test_mail_is_plain_text_and_html_of_the_same_paragraphs(alice, sign_in, settings):
    settings.SUPPORT_CONTACT = "help@example.org"
    sign_in(alice)
    [message] = sign_in(alice, ANDROID, BERLIN)
    html = html_of(message).partition("</h1>")[2]
    html = re.sub(r'<a href="(https[^"]*)"[^>]*>([^<]*)</a>', r"\2: \1", html)
    words = unescape(re.sub(r"<[^>]+>", " ", html)).split()
    assert words == re.sub(r"^(Device|Where|When):", r"\1", message.body, flags=re.M).split()


def test_mail_says_whom_to_ask(alice, sign_in, settings):
    sign_in(alice)
    assert "Questions?" not in sign_in(alice, ANDROID, BERLIN)[0].body
    settings.SUPPORT_CONTACT = "help@example.org"
    alice.devices.update(browser="other")
    [message] = sign_in(alice, ANDROID, BERLIN)
    assert message.body.endswith("\n\nQuestions? Ask us: help@example.org\n")
    assert links_in(message)[1:] == ["mailto:help@example.org"]


def test_mail_waits_as_plain_facts(alice, api):
    """A queued mail holds no link, token or email address that could be read."""
    phone = api(alice, headers={"user-agent": FIREFOX})
    api(alice, headers={"user-agent": ANDROID})
    body = {"current_password": PASSWORD, "email": "new@example.org", "username": "alicia"}
    phone.patch("me", body)

    mails = QueuedMail.objects.order_by("pk")

    kinds = [mail.kind for mail in mails]
    assert kinds == ["new_sign_in", "new_names", "verify_email", "email_change"]
    for mail in mails:
        assert not re.search(r"@example|https?:|/", json.dumps(mail.facts))
        assert "example" not in mail.sealed_address + mail.username


# A mail server that is down


@pytest.mark.asvs("16.5.2")
@pytest.mark.parametrize("backend", [Refusing, HangingUp])
def test_mail_server_that_is_down_changes_no_answer(
    api, browser, alice, root, settings, caplog, django_capture_on_commit_callbacks, backend
):
    api(alice, headers={"user-agent": FIREFOX})
    staff = browser(root)
    settings.EMAIL_BACKEND = f"{__name__}.{backend.__name__}"
    settings.MAX_DEVICES_PER_USER = 2

    with django_capture_on_commit_callbacks(execute=True):
        phone = api(alice, REMOTE_ADDR=BERLIN)
        pair = phone.post(
            "password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        ).json()
        phone.keep(pair)
        assert phone.get("me").status_code == 200
        answer = revoke_shown(staff, f"/admin/accounts/user/{alice.pk}/revoke/")
        assert answer.status_code == 302
        assert Browser().post("/password/reset", {"email": root.email}).status_code == 302

    assert phone.get("me").json()["reason"] == "staff"
    failures = [record for record in caplog.records if record.name == "accounts.delivery"]
    assert [record.getMessage() for record in failures] == ["mail not sent"] * 4
    assert {record.template for record in failures} == {
        "password_reset",
        "new_sign_in",
        "password_changed",
        "revoked",
    }
    assert "/not-me/" not in caplog.text
