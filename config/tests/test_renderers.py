"""The pages of the browsable API: links to each row, and a field for each member of a body."""

import pytest

from tests.plugins.guestlist import PASSWORD
from tokens.tests.pages import Page

HTML = {"accept": "text/html"}


def fields(page):
    return {
        field["name"]: field.get("value", field["type"])
        for field in page.all("input")
        if field["name"] != "csrfmiddlewaretoken"
    }


@pytest.mark.parametrize(
    ("path", "linked"),
    [
        ("devices", ["devices/{device}"]),
        ("me/passkeys", ["me/passkeys/{passkey}"]),
        ("users?search=bob", ["users/bob"]),
        ("users/bob", ["users/bob/devices"]),
        ("users/bob/devices", ["users/bob/devices/{bobs}/revoke"]),
        ("roles", ["roles/admin", "roles/support"]),
        ("users/nobody", []),
        ("devices?state=none", []),
    ],
)
def test_page_links_to_each_row(browser, api, root, bob, path, linked):
    desk, phone = browser(root), api(bob)
    passkey = root.passkeys.create(credential=b"x", public_key=b"", name="Phone")
    answer = desk.get(f"/api/v1/{path}", headers=HTML)
    page = Page(answer, status=answer.status_code)
    ids = {"device": root.devices.get().pk, "bobs": phone.device.pk, "passkey": passkey.pk}
    [start] = [place for place, (tag, _) in enumerate(page.elements) if tag == "h1"]
    links = [found["href"] for tag, found in page.elements[start:] if tag == "a"]
    wanted = [f"/api/v1/{each.format(**ids)}" for each in linked]
    assert [link for link in links if link.startswith("/api/v1/")] == wanted
    assert page.text.count("(this device)") == (path == "devices")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("me", {"username": "root", "email": "root@example.org", "current_password": "password"}),
        ("devices/{device}", {"name": "Desk"}),
        ("me/passkeys/{passkey}", {"name": "Phone"}),
        ("login", {"username": "text", "password": "password", "device_name": "text"}),
        ("password", {"current_password": "password", "new_password": "password"}),
        ("users/root/roles/support", {"current_password": "password"}),
        ("logout", {}),
    ],
)
def test_form_has_a_field_for_each_member_of_a_body(browser, root, path, shown):
    desk = browser(root)
    root.devices.update(name="Desk")
    passkey = root.passkeys.create(credential=b"x", public_key=b"", name="Phone")
    address = path.format(device=root.devices.get().pk, passkey=passkey.pk)
    answer = desk.get(f"/api/v1/{address}", headers=HTML)
    assert fields(Page(answer, status=answer.status_code)) == shown


def test_body_that_a_program_makes_has_no_form(browser, root):
    answer = browser(root).get("/api/v1/me/passkeys", headers=HTML)
    page = Page(answer)
    assert "Passkey List" in page.html
    assert fields(page) == {}


def test_refused_form_keeps_what_was_typed_but_for_the_password(browser, alice, bob):
    body = {"username": "bob", "current_password": PASSWORD}
    answer = browser(alice).patch("/api/v1/me", body, content_type="application/json", headers=HTML)
    page = Page(answer, status=409)
    assert fields(page) == {"username": "bob", "email": "text", "current_password": "password"}
    assert PASSWORD not in page.html


def test_wrong_password_in_a_form_is_counted_once(client, alice, settings):
    settings.LOGIN_ATTEMPTS = 2
    body = {"username": "alice", "password": "wrong"}
    send = lambda: client.post(  # noqa: E731
        "/api/v1/login", body, content_type="application/json", headers=HTML
    )
    assert [send().status_code for _ in range(3)] == [401, 401, 429]
