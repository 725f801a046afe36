"""What a device signed in by, and when a passkey was last used on it, wherever that is shown."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from accounts.tests.admin import hidden
from tests.plugins.authenticator import give_passkey
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.models import IssuedToken
from tokens.tests.pages import Page

DEVICES = "/admin/tokens/issuedtoken/"


@pytest.fixture
def phone(alice):
    return give_passkey(alice)


@pytest.fixture
def by_passkey(phone, api):
    """A client whose device signed in with a passkey."""
    client = api()
    options = client.post("login/options").json()
    return client.keep(client.post("login", {"passkey": phone.use(options)}).json())


@pytest.fixture
def by_token(alice):
    return flows.issue_token(alice, name="backup", lasts=timedelta(days=1))[0]


@pytest.fixture
def all_three(by_passkey, by_token, api, alice):
    return {"passkey": by_passkey.device, "token": by_token, "password": api(alice).device}


def test_each_sign_in_notes_its_method(all_three):
    for method, device in all_three.items():
        stored = IssuedToken.objects.get(pk=device.pk)
        assert stored.method == method
        assert stored.passkey_at == (stored.created_at if method == "passkey" else None)


def test_the_api_says_it(by_passkey):
    shown = by_passkey.get("devices").json()["results"][0]
    assert (shown["method"], shown["passkey_at"]) == ("passkey", shown["created_at"])


def test_a_step_up_notes_what_it_was_made_with(api, alice, phone, age):
    client = api(alice)
    answer = phone.use(client.post("reauthenticate/options").json())
    client.keep(client.post("reauthenticate", {"passkey": answer}).json())
    device = client.device
    assert device.passkey_at == device.authenticated_at > device.created_at
    assert device.method == "password"
    client.keep(client.post("reauthenticate", {"password": PASSWORD}).json())
    assert client.device.passkey_at == device.passkey_at < client.device.authenticated_at


def test_pages_say_it(browser, by_passkey, alice, support, phone):
    laptop = browser(alice)
    assert "with a passkey" in Page(laptop.get("/devices/")).text
    assert "with the password" in Page(laptop.get("/devices/")).text
    assert "Signed in with a passkey" in Page(laptop.get("/account/activity/")).text
    page = Page(browser(support).get(f"{DEVICES}{by_passkey.device.pk}/change/")).text
    assert "Signed in by: passkey" in page
    assert "signed in with a passkey" in page


def test_stories_tell_of_a_step_up_with_a_passkey(browser, by_passkey, phone, alice, support):
    answer = phone.use(by_passkey.post("reauthenticate/options").json())
    by_passkey.keep(by_passkey.post("reauthenticate", {"passkey": answer}).json())
    page = browser(support).get(f"{DEVICES}{by_passkey.device.pk}/change/")
    assert "used a passkey again" in Page(page).text
    activity = Page(browser(alice).get("/account/activity/")).text
    assert "passkey used again" in activity.lower()


def test_a_password_after_a_passkey_leaves_both_in_the_story(browser, by_passkey, phone, support):
    answer = phone.use(by_passkey.post("reauthenticate/options").json())
    by_passkey.keep(by_passkey.post("reauthenticate", {"passkey": answer}).json())
    by_passkey.keep(by_passkey.post("reauthenticate", {"password": PASSWORD}).json())
    story = Page(browser(support).get(f"{DEVICES}{by_passkey.device.pk}/change/")).text
    assert "gave the password again" in story
    assert "used a passkey" in story


def test_the_list_of_the_admin_is_filtered_by_it(browser, all_three, support):
    staff = browser(support)
    for method, device in all_three.items():
        page = staff.get(f"{DEVICES}?method__exact={method}&user__id__exact={device.user_id}")
        found = {str(one.pk) for one in page.context["cl"].result_list}
        assert found == {str(device.pk)}


def test_an_incident_ends_what_signed_in_by_password(all_three, browser, api, root):
    before = all_three["passkey"].created_at - timedelta(minutes=1)
    body = {"method": "password", "signed_in_after": before.isoformat(), "dry_run": True}
    found = api(root).post("users/devices/revoke", body).json()
    assert (found["matched"], found["people"]) == (1, 1)  # without the device that asks
    page = browser(root).get(f"{DEVICES}incident/", {"method": "passkey"})
    assert [device.pk for device in page.context["shown"]] == [all_three["passkey"].pk]
    assert api(root).post("users/devices/revoke", {"method": "x"}).status_code == 400


@pytest.mark.parametrize("method", ["password", "passkey", "token"])
def test_commands_select_by_it(all_three, method):
    output = StringIO()
    call_command("list_devices", "--method", method, "--json", stdout=output)
    assert [str(device.pk) in output.getvalue() for device in all_three.values()] == [
        name == method for name in all_three
    ]


def test_exports_hold_it(browser, root, by_passkey):
    tab = browser(root)
    data = {"action": "export_csv", "_selected_action": [by_passkey.device.pk]}
    asked = tab.post(DEVICES, data)
    answer = tab.post(DEVICES, {**hidden(asked), "current_password": PASSWORD})
    content = b"".join(answer.streaming_content).decode()
    assert ",method,passkey_at," in content
    assert f",passkey,{by_passkey.device.passkey_at.isoformat()}," in content
