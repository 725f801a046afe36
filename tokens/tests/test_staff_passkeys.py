"""Staff need a passkey: what waits for it, how they get the first one, and what a loss leads to."""

import re
import sys
from datetime import timedelta
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django.utils.http import urlsafe_base64_encode

from accounts import passkeys
from accounts.models import Passkey, PasskeyDeadline, RecoveryCode, Role, User
from accounts.reset import reset_tokens
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, make_user
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.pages import Page
from tokens.tests.staff import add, codes_of, link_of, made_link, prove, refused

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("staff_need_passkeys")]
ADMIN = "/admin/tokens/issuedtoken/"
NOTE = {"note": "Lost their phone, known by voice."}


@pytest.fixture
def chief(browser, root):
    tab = browser(root)
    prove(tab, give_passkey(root, vouched=True))
    return tab


# What waits for the passkey


@pytest.mark.asvs("6.3.3", "7.5.3", "8.2.1")
def test_the_admin_waits_and_opens(browser, support, key, alice):
    tab = browser(support)
    page = tab.get(ADMIN)
    assert "Staff use their passkey" in Page(page, 403).text
    assert "alice" not in page.content.decode()
    answer = prove(tab, key, ADMIN, go_back="yes")
    assert (answer.status_code, answer.url) == (302, ADMIN)
    assert tab.get(ADMIN).status_code == 200


def test_a_form_of_the_admin_is_held_and_goes_on(browser, manager, alice):
    key = give_passkey(manager, vouched=True)
    tab = browser(manager)
    url = f"/admin/accounts/user/{alice.pk}/change/"
    typed = {"username": "alicia", "email": alice.email, "is_active": "on"}
    page = tab.post(url, typed)
    assert page.status_code == 403
    assert 'name="username" value="alicia"' in page.content.decode()
    assert prove(tab, key, url, **typed).status_code == 302
    alice.refresh_from_db()
    assert alice.username == "alicia"


@pytest.mark.asvs("6.3.3")
def test_a_password_opens_nothing_in_the_admin(browser, support, key):
    tab = browser(support)
    for field in ("step_up_password", "current_password", "password"):
        assert tab.post(ADMIN, {field: PASSWORD}).status_code == 403
    assert tab.get("/admin/").status_code == 403


def test_a_passkey_that_was_added_with_a_password_does_not_count(browser, support, settings):
    settings.STAFF_NEEDS_PASSKEY = False
    key = give_passkey(support)
    settings.STAFF_NEEDS_PASSKEY = True
    tab = browser(support)
    assert "does not count for staff" in Page(prove(tab, key)).text
    assert prove(tab, key, ADMIN, go_back="yes").status_code == 403
    assert tab.get(ADMIN).status_code == 403
    assert not support.devices.get().passkey_vouched


@pytest.mark.asvs("6.3.3", "7.5.3", "8.2.1")
def test_the_api_waits_and_opens(api, support, key, alice):
    app = api(support)
    assert refused(app.get("users")) == (403, "passkey_required")
    assert refused(app.get("users/alice/devices")) == (403, "passkey_required")
    assert refused(app.post("users/alice/devices/revoke")) == (403, "passkey_required")
    options = app.post("reauthenticate/options").json()
    pair = app.post("reauthenticate", {"passkey": key.use(options)})
    app.keep(pair.json())
    assert app.get("users").status_code == 200


def test_a_page_of_the_api_leads_to_the_passkey_and_back(browser, support, key):
    tab = browser(support)
    page = tab.get("/api/v1/users?search=al", headers={"accept": "text/html"})
    way = "/account/passkeys/?next=%2Fapi%2Fv1%2Fusers%3Fsearch%3Dal"
    assert f'<a href="{way}">Use your passkey</a>' in Page(page, 403).html
    assert tab.get(way).status_code == 200
    assert prove(tab, key, way).url == "/api/v1/users?search=al"


def test_it_leads_to_no_other_site(browser, support, key):
    answer = prove(browser(support), key, "/account/passkeys/?next=https://evil.example/")
    assert answer.url == "/account/passkeys/"


def test_a_sign_in_with_the_passkey_is_enough(api, support, key):
    app = api()
    options = app.post("login/options").json()
    app.keep(app.post("login", {"passkey": key.use(options)}).json())
    assert app.get("users").status_code == 200


def test_who_lacks_the_permission_hears_nothing_of_passkeys(api, browser, alice, support, key):
    assert refused(api(alice).get("users")) == (403, "permission_denied")
    assert refused(api(support).get("roles")) == (403, "permission_denied")


def test_other_people_and_own_things_need_none(api, support, alice):
    assert api(support).get("me").status_code == 200
    assert api(support).get("devices").status_code == 200
    assert api(alice).post("me/passkeys/options").status_code == 200


@pytest.mark.asvs("7.5.3")
def test_it_counts_for_twelve_hours(api, support, key, age, settings):
    app = api()
    app.keep(app.post("login", {"passkey": key.use(app.post("login/options").json())}).json())
    long_ago = timezone.now() - settings.STAFF_BROWSER_LIFETIME - timedelta(minutes=1)
    IssuedToken.objects.update(passkey_at=long_ago)
    assert refused(app.get("users")) == (403, "passkey_required")


@pytest.mark.asvs("6.3.3", "6.3.4")
def test_a_role_that_is_given_later_waits_too(api, alice):
    app = api(alice)
    alice.roles.add(Role.objects.get(name="support"))
    assert refused(app.get("users")) == (403, "passkey_required")


@pytest.mark.asvs("6.3.4")
def test_a_token_of_issue_token_has_nothing_of_staff(api, support, key):
    out = StringIO()
    call_command("issue_token", "support", "--name=script", "--expires=1h", stdout=out)
    token = re.search(r"\S+\.\S+\.\S+", out.getvalue())[0]
    app = api()
    assert refused(app.get("users", authorization=f"Bearer {token}")) == (403, "passkey_required")
    assert app.get("me", authorization=f"Bearer {token}").status_code == 200


def test_the_deadline_gives_time(browser, api, support, root):
    PasskeyDeadline.objects.create(at=timezone.now() + timedelta(days=30))
    assert browser(support).get(ADMIN).status_code == 200
    assert api(support).get("users").status_code == 200
    cache.clear()  # of the figures on the front page
    page = Page(browser(root).get("/admin/")).text
    assert "Staff without a passkey" in page
    assert "support" in page
    PasskeyDeadline.objects.update(at=timezone.now() - timedelta(seconds=1))
    assert browser(support).get(ADMIN).status_code == 403


# The first passkey


@pytest.mark.asvs("6.3.3")
def test_a_password_alone_adds_none(browser, api, support):
    tab, app = browser(support), api(support)
    assert tab.get("/account/passkeys/add").status_code == 403
    assert add(tab).status_code == 400
    assert refused(app.post("me/passkeys/options")) == (403, "passkey_required")
    assert not Passkey.objects.exists()


def test_a_password_adds_none_before_the_deadline_either(browser, root):
    PasskeyDeadline.objects.create(at=timezone.now() + timedelta(days=30))
    tab = browser(root)
    assert add(tab).status_code == 400
    other = make_user("other", is_staff=True)
    assert tab.get(f"/admin/accounts/user/{other.pk}/passkeys/").status_code == 403


@pytest.mark.asvs("6.4.4", "7.5.3")
def test_a_superuser_makes_the_link(chief, browser, support, mails_of):
    url = f"/admin/accounts/user/{support.pk}/passkeys/"
    assert url in chief.get(f"/admin/accounts/user/{support.pk}/change/").content.decode()
    assert "Your password, please" in Page(chief.post(url, {"act": "link"})).text
    proof = {"act": "link", "current_password": PASSWORD}
    [told] = mails_of(lambda: proof.update(link=link_of(chief.post(url, proof).content.decode())))
    assert told.to == ["root@example.org"]
    assert "support" in told.body
    assert "/first/" not in told.body
    tab, key = browser(support), Authenticator()
    link = proof["link"]
    assert tab.get(link).status_code == 200
    answer = add(tab, link, key, link=link.rpartition("/")[2])
    assert answer.url == "/account/passkeys/codes"
    assert support.passkeys.get().vouched
    assert tab.get(ADMIN).status_code == 200  # to make it was to use it
    assert tab.get(link).status_code == 403
    assert len(codes_of(tab)) == 10


@pytest.mark.asvs("6.4.1")
def test_the_link_is_for_one_account_and_one_day(browser, support, manager, monkeypatch):
    link = link_of(made_link(support))
    other = browser(manager)
    assert other.get(link).status_code == 403
    assert add(other, link, link=link.rpartition("/")[2]).status_code == 400
    tab = browser(support)
    now = timezone.now().timestamp()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 86_401)
    assert tab.get(link).status_code == 403


def test_a_newer_link_and_a_reset_end_it(browser, support):
    first = link_of(made_link(support))
    second = link_of(made_link(support))
    tab = browser(support)
    assert tab.get(first).status_code == 403
    assert add(tab, second, link=second.rpartition("/")[2]).status_code == 302
    call_command("reset_passkeys", "support", stdout=StringIO())
    assert browser(support).get(second).status_code == 403


def test_a_thief_does_not_end_it_by_removing_what_they_added(browser, alice):
    give_passkey(alice, "Of a thief")
    alice.roles.add(Role.objects.get(name="support"))
    link, tab = link_of(made_link(alice)), browser(alice)
    tab.post(f"/account/passkeys/{alice.passkeys.get().pk}/remove")
    assert not alice.passkeys.exists()
    assert tab.get(link).status_code == 200


def test_the_link_replaces_what_a_thief_may_have_added(browser, alice):
    give_passkey(alice, "Of a thief")
    alice.roles.add(Role.objects.get(name="support"))
    link = link_of(made_link(alice))
    add(browser(alice), link, link=link.rpartition("/")[2])
    assert [(one.name, one.vouched) for one in alice.passkeys.all()] == [("New", True)]


def test_create_admin_prints_it(monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(PASSWORD.encode())))
    out = StringIO()
    call_command("create_admin", "ops", "ops@example.org", "--password-stdin", stdout=out)
    assert passkeys.is_good_link(User.objects.get(), link_of(out.getvalue()).rpartition("/")[2])


# Removing one


def test_a_password_removes_none_that_counts(browser, api, support, key):
    tab, app, passkey = browser(support), api(support), support.passkeys.get()
    remove = f"/account/passkeys/{passkey.pk}/remove"
    assert remove not in tab.get("/account/passkeys/").content.decode()
    tab.post(remove)
    assert "Use your passkey on this device first." in Page(tab.get("/account/passkeys/")).text
    assert refused(app.delete(f"me/passkeys/{passkey.pk}")) == (403, "passkey_required")
    assert support.passkeys.exists()


def test_a_removed_one_counts_on_no_other_device(desk, browser, support, key):
    other = browser(support)
    prove(other, key)
    remove = f"/account/passkeys/{support.passkeys.get().pk}/remove"
    assert remove in desk.get("/account/passkeys/").content.decode()
    assert "they ask for another passkey" in Page(desk.get(remove)).text
    desk.post(remove)
    assert not support.passkeys.exists()
    assert other.get(ADMIN).status_code == 403
    assert desk.get(ADMIN).status_code == 200


def test_a_passkey_gives_a_script_nothing_of_staff(api, support, key):
    _, token = flows.issue_token(support, name="script", lasts=timedelta(hours=1))
    app = api()
    options = app.post("reauthenticate/options", authorization=f"Bearer {token}").json()
    body = {"passkey": key.use(options)}
    pair = app.post("reauthenticate", body, authorization=f"Bearer {token}").json()
    assert refused(app.keep(pair).get("users")) == (403, "passkey_required")


# After a loss


@pytest.mark.asvs("6.3.7", "6.4.4", "6.5.1", "6.5.2", "6.5.3", "6.5.4")
def test_a_recovery_code_adds_a_passkey_and_ends_all_other_devices(
    desk, browser, api, support, mails_of
):
    codes = codes_of(desk)
    assert len(set(codes)) == 10
    assert {len(bytes(one.hash)) for one in RecoveryCode.objects.all()} == {32}
    app, tab = api(support), browser(support)
    typed = codes[3].lower().replace("-", " ")
    mails = mails_of(lambda: add(tab, "/account/passkeys/recover", recovery_code=typed))
    assert {one.subject.partition(": ")[2] for one in mails} == {
        "A recovery code was used",
        "A passkey was added to your account",
    }
    assert tab.get(ADMIN).status_code == 200
    assert refused(app.get("me")) == (401, "device_revoked")
    assert set(
        support.devices.exclude(revoked_at=None).values_list("revoked_reason", flat=True)
    ) == {"recovery"}
    assert support.recovery_codes.count() == 9
    again = add(browser(support), "/account/passkeys/recover", recovery_code=codes[3])
    assert again.status_code == 400
    activity = Page(tab.get("/account/activity/")).text.lower()
    assert "you added a passkey with a recovery code" in activity
    assert "you made recovery codes" in activity


def test_wrong_codes_are_counted(browser, support, key):
    tab = browser(support)
    answers = [add(tab, recovery_code="ABCD") for _ in range(7)]
    assert [one.status_code for one in answers] == [400] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_code_is_good_for_nothing_else(desk, browser, api, support, settings):
    [code, *_] = codes_of(desk)
    login = api().post("login", {"username": "support", "password": code})
    assert refused(login) == (401, "login_failed")
    tab = browser(support)
    assert tab.post(ADMIN, {"recovery_code": code}).status_code == 403
    assert support.recovery_codes.count() == 10


def test_codes_are_for_staff_who_used_their_passkey(browser, support, key, alice):
    for tab in (browser(support), browser(alice)):
        assert codes_of(tab) == []
    assert not RecoveryCode.objects.exists()


@pytest.mark.asvs("6.3.7", "6.4.4", "6.5.6", "7.5.3")
def test_a_superuser_resets_with_proof_and_a_note(chief, desk, api, support, mails_of):
    codes_of(desk)
    url = f"/admin/accounts/user/{support.pk}/passkeys/"
    assert "This field is required" in Page(chief.post(url, {"act": "reset"})).text
    assert "Your password, please" in Page(chief.post(url, {"act": "reset", **NOTE})).text
    assert Passkey.objects.filter(user=support).exists()
    proof = {"act": "reset", "current_password": PASSWORD, **NOTE}
    mails = mails_of(lambda: proof.update(link=link_of(chief.post(url, proof).content.decode())))
    to_person = [one for one in mails if one.to == ["support@example.org"]]
    assert ["Your passkeys were removed" in one.subject for one in to_person] == [True]
    assert NOTE["note"] in to_person[0].body
    assert not support.passkeys.exists()
    assert not support.recovery_codes.exists()
    device = support.devices.get()
    assert (device.revoked_reason, device.revoked_note) == ("staff", NOTE["note"])
    assert any(NOTE["note"] in one.change_message for one in LogEntry.objects.all())


def test_only_a_superuser_and_not_for_themselves(chief, desk, browser, manager, root, support):
    key = give_passkey(manager, vouched=True)
    tab = browser(manager)
    prove(tab, key)
    assert tab.get(f"/admin/accounts/user/{support.pk}/passkeys/").status_code == 403
    assert desk.get(f"/admin/accounts/user/{manager.pk}/passkeys/").status_code == 403
    assert chief.get(f"/admin/accounts/user/{root.pk}/passkeys/").status_code == 403


@pytest.mark.asvs("6.5.6")
def test_the_command_resets(desk, support):
    out = StringIO()
    call_command("reset_passkeys", "support", stdout=out)
    assert "Removed 1 passkey of support, and ended 1 device." in out.getvalue()
    assert "/account/passkeys/first/" in out.getvalue()
    assert desk.get("/devices/").status_code == 302
    acts = LogEntry.objects.filter(object_id=support.pk).values_list("change_message", flat=True)
    assert "Changed the passkeys: all were removed, on the server." in acts


@pytest.mark.asvs("6.4.3")
def test_a_reset_of_the_password_by_mail_leaves_the_passkey_needed(browser, support, key):
    support.refresh_from_db()
    uid = urlsafe_base64_encode(str(support.pk).encode())
    tab = Client()
    page = tab.get(f"/password/reset/{uid}/{reset_tokens.make_token(support)}")
    tab.post(page.url, {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})
    tab.post("/login", {"username": "support", "password": NEW_PASSWORD})
    assert tab.get("/devices/").status_code == 200
    assert tab.get(ADMIN).status_code == 403
    assert add(tab).status_code == 400
    assert support.passkeys.count() == 1
