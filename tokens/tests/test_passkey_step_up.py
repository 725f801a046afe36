"""A passkey in place of the password: on pages, in the admin, and over the API."""

import json

import pytest

from accounts.models import Role, User
from accounts.tests.admin import ROLES, USERS, hidden
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens.step_up import FIELD
from tokens.tests.pages import Page


def touch(tab, authenticator, **lies):
    """What a script sends: the answer of the passkey, made for the device of this browser."""
    options = tab.post("/account/passkeys/step-up")
    assert options.status_code == 200, options.content
    return {"passkey": json.dumps(authenticator.use(options.json(), **lies))}


# Pages


def test_pages_take_a_passkey(stale, alice, api):
    phone, laptop = give_passkey(alice), stale
    path = f"/devices/{api(alice).device.pk}/sign-out/"
    page = laptop.get(path)
    assert 'data-passkey="/account/passkeys/step-up"' in page.content.decode()
    assert "Passkeys need JavaScript" in Page(page).text
    assert laptop.post(path, {"password": "", **touch(laptop, phone)}).status_code == 302
    assert alice.devices.live().count() == 1
    assert laptop.post("/account/data").status_code == 200  # the device is fresh now


@pytest.mark.parametrize("path", ["/account/data", "/account/delete", "/account/names"])
def test_a_wrong_passkey_is_an_error_of_the_password(stale, alice, path):
    phone = give_passkey(alice)
    names = {"username": "alicia", "email": alice.email}
    answer = stale.post(path, {**names, **touch(stale, phone, origin="https://evil.example")})
    page = Page(answer)
    assert "This passkey was not accepted." in page.text
    assert "rawId" not in answer.content.decode()
    assert User.objects.get().username == "alice"


def test_names_and_the_end_of_an_account_take_a_passkey(laptop, alice):
    phone = give_passkey(alice)
    names = {"username": "alicia", "email": alice.email, "current_password": ""}
    assert laptop.post("/account/names", {**names, **touch(laptop, phone)}).status_code == 302
    assert User.objects.get().username == "alicia"
    assert laptop.post("/account/delete", touch(laptop, phone)).status_code == 302
    assert not User.objects.exists()


def test_a_new_password_needs_the_current_one(laptop, alice):
    phone = give_passkey(alice)
    new = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert laptop.post("/password/change", {**new, **touch(laptop, phone)}).status_code == 200
    assert User.objects.get().check_password(PASSWORD)


def test_without_a_passkey_there_is_no_button(stale):
    answer = stale.get("/account/data")
    assert "data-passkey" not in answer.content.decode()
    options = stale.post("/account/passkeys/step-up")
    assert (options.status_code, options.json()["code"]) == (400, "passkey_refused")


def test_a_passkey_of_somebody_else_or_of_another_device_is_refused(stale, browser, alice, bob):
    phone = give_passkey(bob)
    theirs = browser(bob)
    own = give_passkey(alice)
    other = browser(alice)
    for given in (touch(theirs, phone), touch(other, own)):
        assert "not accepted" in Page(stale.post("/account/data", given)).text


def test_an_answer_makes_fresh_once(stale, alice, age):
    phone = give_passkey(alice)
    given = touch(stale, phone)
    assert stale.post("/account/data", given).status_code == 200
    age(alice.devices.get(), minutes=16)
    assert "not accepted" in Page(stale.post("/account/data", given)).text


def test_wrong_passkeys_fill_the_count_of_the_device(stale, alice, settings):
    settings.LOGIN_ATTEMPTS = 2
    phone = give_passkey(alice)
    for _ in range(2):
        stale.post("/account/data", {"passkey": "{}"})
    answer = stale.post("/account/data", touch(stale, phone))
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)


# The admin


def test_nothing_typed_is_lost(stale_browser, manager):
    tab, phone = stale_browser(manager), give_passkey(manager)
    typed = {"username": "carol", "email": "carol@example.org"}
    page = tab.post(USERS + "add/", typed)
    assert f'name="{FIELD}"' in page.content.decode()
    assert 'data-passkey="/account/passkeys/step-up"' in page.content.decode()
    held = hidden(page)
    assert "passkey" not in held
    wrong = tab.post(USERS + "add/", {**held, FIELD: "", **touch(tab, phone, flags=1)})
    assert "This passkey was not accepted." in Page(wrong).text
    assert "rawId" not in wrong.content.decode()
    answer = tab.post(USERS + "add/", {**hidden(wrong), FIELD: "", **touch(tab, phone)})
    assert answer.status_code == 302
    assert User.objects.filter(username="carol").exists()


@pytest.mark.parametrize("is_stale", [True, False])
def test_proof_in_the_act_takes_a_passkey(stale_browser, browser, root, alice, is_stale):
    """Also where the device is stale: one touch is enough for both."""
    tab = (stale_browser if is_stale else browser)(root)
    phone = give_passkey(root)
    url = f"{USERS}{alice.pk}/change/"
    data = {"username": "alice", "email": alice.email, "is_active": "on", "is_superuser": "on"}
    data["current_password"] = ""
    assert 'data-passkey="/account/passkeys/step-up"' in tab.get(url).content.decode()
    if not is_stale:
        assert "Give your password for this." in Page(tab.post(url, data)).text
        wrong = tab.post(url, {**data, **touch(tab, phone, origin="https://x")})
        assert "This passkey was not accepted." in Page(wrong).text
    assert not User.objects.get(pk=alice.pk).is_superuser
    assert tab.post(url, {**data, **touch(tab, phone)}).status_code == 302
    assert User.objects.get(pk=alice.pk).is_superuser


def test_a_role_with_permissions_is_changed_with_a_passkey(browser, root):
    tab, phone = browser(root), give_passkey(root)
    role = Role.objects.get(name="support")
    permissions = [*role.permissions.values_list("pk", flat=True)]
    other = Role.objects.get(name="admin").permissions.exclude(pk__in=permissions).first()
    data = {"name": "support", "description": "x", "permissions": [*permissions, other.pk]}
    assert tab.post(f"{ROLES}{role.pk}/change/", {**data, **touch(tab, phone)}).status_code == 302
    assert role.permissions.filter(pk=other.pk).exists()


def test_an_export_takes_a_passkey(browser, root):
    tab, phone = browser(root), give_passkey(root)
    url = "/admin/tokens/issuedtoken/"
    data = {"action": "export_csv", "_selected_action": [root.devices.get().pk]}
    asked = tab.post(url, data)
    assert 'data-passkey="/account/passkeys/step-up"' in asked.content.decode()
    answer = tab.post(url, {**hidden(asked), "current_password": "", **touch(tab, phone)})
    assert answer.headers["Content-Type"].startswith("text/csv")


# The API


def answer_of(client, authenticator, **lies):
    return authenticator.use(client.post("reauthenticate/options").json(), **lies)


def test_reauthenticate_takes_a_passkey(api, alice, age):
    client, phone = api(alice), give_passkey(alice)
    age(client.device, minutes=16)
    assert client.post("logout/others").status_code == 401
    answer = client.post("reauthenticate", {"passkey": answer_of(client, phone)})
    assert answer.status_code == 200
    client.keep(answer.json())
    assert client.post("logout/others").status_code == 200


def test_refusals_of_the_api(api, alice, bob):
    client, phone = api(alice), give_passkey(alice)
    wrong = {"passkey": answer_of(client, phone, handle="OTk5OTk")}
    answer = client.post("reauthenticate", wrong)
    assert (answer.status_code, set(answer.json())) == (400, {"passkey"})
    answer = client.post("reauthenticate", {})
    assert (answer.status_code, set(answer.json())) == (400, {"password"})
    both = {"passkey": answer_of(client, phone), "password": "wrong"}
    answer = client.post("reauthenticate", both)
    assert (answer.status_code, set(answer.json())) == (400, {"password"})
    answer = api(bob).post("reauthenticate/options")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_names_and_roles_take_a_passkey(api, manager, alice):
    client, phone = api(manager), give_passkey(manager)
    body = {"username": "boss", "passkey": answer_of(client, phone)}
    assert client.patch("me", body).json()["username"] == "boss"
    path = "users/alice/roles/support"
    assert client.put(path, {}).status_code == 400
    assert client.put(path, {"passkey": answer_of(client, phone)}).status_code == 204
    assert alice.roles.filter(name="support").exists()


def test_everybody_is_ended_with_a_passkey(api, root):
    client, phone = api(root), give_passkey(root)
    body = {"all": True, "dry_run": False, "passkey": answer_of(client, phone)}
    assert client.post("users/devices/revoke", body).status_code == 200


def test_a_new_password_over_the_api_needs_the_current_one(api, alice):
    client, phone = api(alice), give_passkey(alice)
    body = {"passkey": answer_of(client, phone), "new_password": NEW_PASSWORD}
    answer = client.post("password", body)
    assert (answer.status_code, set(answer.json())) == (400, {"current_password"})
