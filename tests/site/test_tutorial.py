"""The story that people know from JWT tutorials, told over HTTP to a running server."""

import json
import urllib.error
import urllib.request

import pytest

from accounts.models import Role
from tests.plugins.guestlist import PASSWORD

WORDS = {"username": "dana", "email": "dana@example.org", "password": "a long enough passphrase"}


@pytest.fixture
def call(live_server):
    """`call("POST", "login", {...}, token)` answers the status and the JSON."""

    def send(method, path, body=None, token=None):
        request = urllib.request.Request(
            f"{live_server.url}/api/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": "curl/8.5.0"},
            method=method,
        )
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.loads(refusal.read())

    return send


@pytest.fixture
def log_in(call):
    def token_of(username, password=PASSWORD):
        status, pair = call("POST", "login", {"username": username, "password": password})
        assert status == 200
        return pair["access_token"]

    return token_of


def test_signup_and_login(call):
    status, user = call("POST", "signup", WORDS)
    assert (status, user["username"], user["roles"]) == (201, "dana", [])

    status, errors = call("POST", "login", {"username": "", "password": ""})
    assert (status, set(errors)) == (400, {"username", "password"})
    status, errors = call("POST", "login", {})
    assert (status, set(errors)) == (400, {"username", "password"})
    status, refusal = call("POST", "login", {"username": "dana", "password": "wrong"})
    assert (status, refusal["code"]) == (401, "login_failed")

    login = {"username": "dana", "password": WORDS["password"]}
    status, pair = call("POST", "login", login)
    assert (status, pair["token_type"], pair["device"]["label"]) == (200, "Bearer", "curl")


def test_protected_endpoint_with_and_without_a_token(call, log_in, alice):
    status, refusal = call("GET", "me")
    assert (status, refusal["code"]) == (401, "not_authenticated")

    status, me = call("GET", "me", token=log_in("alice"))
    assert (status, me["username"]) == (200, "alice")


def test_token_is_refused_after_logout(call, log_in, alice):
    token = log_in("alice")
    assert call("POST", "logout", token=token) == (204, None)

    status, refusal = call("GET", "me", token=token)
    assert (status, refusal["code"], refusal["reason"]) == (401, "device_revoked", "logout")


def test_role_is_required(call, log_in, alice, manager):
    status, refusal = call("GET", "roles", token=log_in("alice"))
    assert (status, refusal["code"]) == (403, "permission_denied")

    status, roles = call("GET", "roles", token=log_in("manager"))
    assert (status, [role["name"] for role in roles["results"]]) == (200, ["admin", "support"])


def test_own_devices_are_listed_and_revoked_one_and_all(call, log_in, alice):
    phone, tablet, laptop = (log_in("alice") for _ in range(3))
    _, devices = call("GET", "devices", token=laptop)
    assert devices["count"] == 3
    other = next(device for device in devices["results"] if not device["is_current"])

    assert call("DELETE", f"devices/{other['id']}", token=laptop) == (204, None)
    refused = [call("GET", "me", token=token)[0] for token in (phone, tablet, laptop)]
    assert sorted(refused) == [200, 200, 401]

    assert call("POST", "logout/all", token=laptop) == (200, {"revoked": 2})
    assert {call("GET", "me", token=token)[0] for token in (phone, tablet, laptop)} == {401}


def test_roles_are_created_given_taken_and_deleted(call, log_in, alice, root):
    boss, hers = log_in("root"), log_in("alice")
    status, role = call("POST", "roles", {"name": "editor", "description": "Edits."}, boss)
    assert (status, role["permissions"]) == (201, [])

    assert call("PUT", "users/alice/roles/editor", token=boss) == (204, None)
    assert call("GET", "me", token=hers)[1]["roles"] == ["editor"]
    assert call("DELETE", "users/alice/roles/editor", token=boss) == (204, None)
    assert call("GET", "me", token=hers)[1]["roles"] == []

    assert call("DELETE", "roles/editor", token=boss) == (204, None)
    assert not Role.objects.filter(name="editor").exists()
