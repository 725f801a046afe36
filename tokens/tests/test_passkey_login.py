"""Signing in with a passkey: on the page and over the API, with the limits of a password."""

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser

from accounts import passkeys
from accounts.models import Throttle, User
from accounts.passkeys import REFUSED, GivenPasskey
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import FIREFOX, IPHONE, NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.tests.pages import Page, is_signed_in


@pytest.fixture
def phone(alice):
    return give_passkey(alice)


def by_page(tab, authenticator, *, lies=None, **fields):
    options = tab.post("/login/options").json()
    answer = json.dumps(authenticator.use(options, **(lies or {})))
    return tab.post("/login", {"username": "", "password": "", "passkey": answer, **fields})


def by_api(client, authenticator, **body):
    options = client.post("login/options").json()
    return client.post("login", {"passkey": authenticator.use(options), **body})


def test_a_passkey_signs_in_on_the_page(phone, alice):
    tab = Browser()
    answer = by_page(tab, phone, next="/account/")
    assert (answer.status_code, answer.url) == (302, "/account/")
    assert is_signed_in(tab)
    alice.refresh_from_db()
    assert alice.last_login
    assert tab.post("/account/passkeys/options").status_code == 200  # it is fresh


def test_a_passkey_opens_the_admin_and_the_browsable_api(root):
    tab = Browser()
    by_page(tab, give_passkey(root))
    assert tab.get("/admin/").status_code == tab.get("/api/v1/me").status_code == 200


def test_a_passkey_signs_in_over_the_api(phone, alice, api):
    client = api()
    answer = by_api(client, phone, device_name="Ana's phone")
    assert answer.status_code == 200
    assert not answer.cookies
    client.keep(answer.json())
    assert client.get("me").json()["username"] == "alice"
    assert client.device.name == "Ana's phone"


def test_no_password_is_hashed(phone, api, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("A password was hashed.")

    monkeypatch.setattr("accounts.hashers.Argon2PasswordHasher.encode", fail)
    monkeypatch.setattr("accounts.hashers.Argon2PasswordHasher.verify", fail)
    assert by_api(api(), phone).status_code == 200
    assert by_page(Browser(), phone).status_code == 302
    assert by_page(Browser(), phone, lies={"origin": "https://x"}).status_code == 200


def test_what_was_typed_plays_no_part(phone, bob):
    tab = Browser()
    assert by_page(tab, phone, username="bob", password="wrong").status_code == 302
    assert "alice" in Page(tab.get("/account/")).text


def test_a_shared_computer(phone, alice):
    by_page(Browser(), phone, is_shared="on")
    device = alice.devices.get()
    assert device.expires_at - device.created_at == timedelta(hours=1)


def test_it_takes_the_place_of_the_device_of_this_browser(browser, phone, alice, bob):
    tab = browser(bob)
    by_page(tab, phone)
    assert bob.devices.get().revoked_reason == "replaced"
    assert "alice" in Page(tab.get("/account/")).text


def test_the_limit_of_devices_holds(phone, alice, settings):
    settings.MAX_DEVICES_PER_USER = 2
    for _ in range(3):
        by_page(Browser(), phone)
    assert alice.devices.live().count() == 2


def test_a_new_device_is_mailed(browser, phone, alice, mails_of):
    browser(alice, headers={"user-agent": FIREFOX})
    [mail] = mails_of(lambda: by_page(Browser(headers={"user-agent": IPHONE}), phone))
    assert "New sign-in" in mail.subject


def test_sixty_in_an_hour(phone, api, monkeypatch):
    monkeypatch.setattr("tokens.flows.login.MAX_LOGINS_PER_HOUR", 2)
    statuses = [by_api(api(), phone).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


# Refusals


@pytest.mark.parametrize("change", [{"is_active": False}, None], ids=["inactive", "deleted"])
def test_an_account_that_ended_signs_in_no_more(phone, alice, api, change):
    User.objects.update(**change) if change else alice.delete()
    answer = by_api(api(), phone)
    assert (answer.status_code, answer.json()) == (401, {"detail": REFUSED, "code": "login_failed"})
    assert REFUSED in Page(by_page(Browser(), phone)).text


def test_refusals_are_alike(phone, api):
    give = [{"origin": "https://x"}, {"flags": 1}, {"handle": None}]
    pages = [Page(by_page(Browser(), phone, lies=lies)).text for lies in give]
    assert len(set(pages)) == 1
    bodies = [{"passkey": {}}, {"passkey": {"rawId": "x"}}, {"passkey": {"rawId": [1]}}]
    answers = {api().post("login", body).content for body in bodies}
    assert len(answers) == 1


def test_an_old_cookie_with_an_old_answer_is_refused(phone):
    tab = Browser()
    answer = json.dumps(phone.use(tab.post("/login/options").json()))
    old = tab.cookies.copy()
    assert tab.post("/login", {"passkey": answer}).status_code == 302
    thief = Browser()
    thief.cookies = old
    assert REFUSED in Page(thief.post("/login", {"passkey": answer})).text
    assert not is_signed_in(thief)


def test_an_answer_of_another_session_or_of_the_api_is_refused(phone, api):
    options = [Browser().post("/login/options").json(), api().post("login/options").json()]
    for given in options:
        tab = Browser()
        tab.post("/login/options")
        answer = json.dumps(phone.use(given))
        assert REFUSED in Page(tab.post("/login", {"passkey": answer})).text
    page = phone.use(Browser().post("/login/options").json())
    assert api().post("login", {"passkey": page}).status_code == 401


def test_a_password_that_changed_meanwhile_refuses_and_the_next_one_passes(phone, alice, api):
    given = GivenPasskey(phone.use(passkeys.request_options(passkeys.login())), passkeys.login())
    user = given.spend()
    alice.set_password(NEW_PASSWORD)
    alice.save()
    with pytest.raises(flows.Refused):
        flows.log_in(user, Client(ip_address=None))
    assert by_api(api(), phone).status_code == 200


def test_a_passkey_that_was_removed_meanwhile_is_refused(phone, alice):
    given = GivenPasskey(phone.use(passkeys.request_options(passkeys.login())), passkeys.login())
    user = given.spend()
    passkeys.remove(user.passkey, device="x", origin={})
    with pytest.raises(flows.Refused):
        flows.log_in(user, Client(ip_address=None))
    assert not IssuedToken.objects.exists()


def test_a_site_with_a_number_for_an_address_offers_none(settings, api, db):
    settings.SITE_URL = "https://192.0.2.1"
    page = Page(Browser().get("/login"))
    assert "passkey" not in page.text
    assert Browser().post("/login/options").status_code == 400
    assert api().post("login/options").status_code == 403
    assert api().post("login", {"passkey": {"rawId": "AAAA"}}).status_code == 401


def test_a_reset_by_mail_keeps_the_passkeys_and_signs_nobody_in(phone, alice, api):
    alice.set_password(NEW_PASSWORD)
    flows.reset_password(alice, {})
    assert alice.passkeys.count() == 1
    assert not alice.devices.live().exists()
    assert by_api(api(), phone).status_code == 200


# Limits


def test_attempts_that_fail_count_by_address(phone, api, settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 3
    for _ in range(3):
        assert api().post("login", {"passkey": {}}).status_code == 401
    answer = by_api(api(), phone)
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    page = by_page(Browser(), phone)
    assert (page.status_code, int(page.headers["Retry-After"]) > 0) == (429, True)
    assert by_api(api(REMOTE_ADDR="192.0.2.7"), phone).status_code == 200


def test_passkeys_and_passwords_fill_one_count(alice, api, settings):
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 2
    api().post("login", {"passkey": {}})
    api().post("login", {"username": "nobody", "password": PASSWORD})
    assert api().post("login", {"username": "bob", "password": PASSWORD}).status_code == 429


def test_a_right_one_leaves_no_count(phone, api):
    by_api(api(), phone)
    by_page(Browser(), phone)
    assert not Throttle.objects.filter(count__gt=0).exists()


def test_strangers_who_lock_an_account_do_not_lock_its_passkey(phone, alice, api, settings):
    settings.LOGIN_ATTEMPTS_PER_ACCOUNT = 1
    api(REMOTE_ADDR="192.0.2.7").post("login", {"username": "alice", "password": "wrong"})
    words = {"username": "alice", "password": PASSWORD}
    assert api().post("login", words).status_code == 429
    assert by_api(api(), phone).status_code == 200


def test_without_an_address_nothing_is_counted(phone, api):
    assert api(REMOTE_ADDR="").post("login", {"passkey": {}}).status_code == 401
    assert by_api(api(REMOTE_ADDR=""), phone).status_code == 200
    assert not Throttle.objects.exists()


def test_without_a_login_that_follows_the_attempt_succeeds(phone, db, rf):
    from django.contrib.auth import authenticate

    answer = phone.use(passkeys.request_options(passkeys.login()))
    user = authenticate(rf.post("/"), passkey=GivenPasskey(answer, passkeys.login()))
    assert (user.username, user.attempt) == ("alice", None)
    assert not Throttle.objects.filter(count__gt=0).exists()
