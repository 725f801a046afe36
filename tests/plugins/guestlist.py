"""The people of the tests and what they sign in with: a pytest plugin that any app's tests may use.

Name it in a conftest: `pytest_plugins = ["tests.plugins.guestlist"]`.
"""

import base64
import json
import re
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

PASSWORD = "four quiet herons at dawn"
NEW_PASSWORD = "a wholly different sentence"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


def make_user(username, **fields):
    """A user with a verified address, because another gets no mail but the one to confirm it."""
    from accounts.models import User

    fields.setdefault("email", f"{username}@example.org")
    fields.setdefault("email_verified_at", timezone.now())
    return User.objects.create_user(username, password=PASSWORD, **fields)


@pytest.fixture(autouse=True)
def mails_at_once(settings):
    """Mails leave after the commit, as with DEBUG on: no worker runs beside the tests."""
    settings.SEND_MAILS_AT_ONCE = True


@pytest.fixture
def alice(db):
    return make_user("alice")


@pytest.fixture
def bob(db):
    return make_user("bob")


@pytest.fixture
def support(db):
    """Staff with the role `support` and nothing else."""
    from accounts.models import Role

    user = make_user("support", is_staff=True)
    user.roles.add(Role.objects.get(name="support"))
    return user


@pytest.fixture
def manager(db):
    """Staff with the role `admin`, not a superuser."""
    from accounts.models import Role

    user = make_user("manager", is_staff=True)
    user.roles.add(Role.objects.get(name="admin"))
    return user


@pytest.fixture
def root(db):
    return make_user("root", is_staff=True, is_superuser=True)


def revoke_shown(page, url, data=None):
    """Look at what would end, then press the button. `data` is the selection and what is typed.

    Returns the page itself if it has no button.
    """
    data = {name: value for name, value in (data or {}).items() if name != "confirmed"}
    asked = page.post(url, data)
    shown = re.search(r'name="shown" value="([^"]*)"', asked.content.decode())
    if shown is None:
        return asked
    return page.post(url, {"note": "A note.", **data, "confirmed": "yes", "shown": shown[1]})


@contextmanager
def undone():
    """Roll back what the block writes. What must be durable may stand inside."""
    from django.db import transaction

    block = transaction.atomic()
    block._from_testcase = True  # as in Django's own test cases
    with block:
        yield
        transaction.set_rollback(True)


class ApiClient:
    """An API client with at most one device: JSON in, JSON out."""

    def __init__(self, **defaults):
        from rest_framework.test import APIClient

        self.http = APIClient(raise_request_exception=False, **defaults)
        self.pair = None

    def log_in(self, user, password=PASSWORD, **body):
        body = {"username": user.username, "password": password, **body}
        answer = self.http.post("/api/v1/login", body)
        assert answer.status_code == 200, answer.json()
        return self.keep(answer.json())

    def keep(self, pair):
        self.pair = pair
        return self

    @property
    def device(self):
        from tokens.models import IssuedToken

        return IssuedToken.objects.with_state().get(pk=self.pair["device"]["id"])

    def request(self, method, path, body=None, **headers):
        if self.pair:
            headers.setdefault("authorization", f"Bearer {self.pair['access_token']}")
        return self.http.generic(
            method,
            f"/api/v1/{path}",
            b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers=headers,
        )

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def post(self, path, body=None, **headers):
        return self.request("POST", path, body, **headers)

    def patch(self, path, body=None, **headers):
        return self.request("PATCH", path, body, **headers)

    def put(self, path, body=None, **headers):
        return self.request("PUT", path, body, **headers)

    def delete(self, path, **headers):
        return self.request("DELETE", path, **headers)


@pytest.fixture
def api():
    """`api()` is an anonymous client, `api(alice)` one with a device of hers."""

    def client(user=None, **defaults):
        new = ApiClient(**defaults)
        return new.log_in(user) if user else new

    return client


@pytest.fixture
def browser(client):
    """`browser(alice)` is a browser in which she has signed in on the login page."""
    from django.test import Client

    def signed_in(user, **defaults):
        browser = Client(**defaults)
        answer = browser.post("/login", {"username": user.username, "password": PASSWORD})
        assert answer.status_code == 302
        return browser

    return signed_in


@pytest.fixture
def staff_need_passkeys(settings):
    """As in production. Most tests leave it off, because staff sign in by password there."""
    settings.STAFF_NEEDS_PASSKEY = True


@pytest.fixture
def key(support):
    """An authenticator with a passkey of support that counts for staff."""
    from tests.plugins.authenticator import give_passkey

    return give_passkey(support, vouched=True)


@pytest.fixture
def desk(browser, support, key):
    """The browser of support, after they used their passkey in it."""
    from tokens.tests.staff import prove

    tab = browser(support)
    prove(tab, key)
    return tab


@pytest.fixture
def age():
    """`age(device, hours=2)` moves all times of the row into the past: the database's clock is
    the one that counts, and it cannot be turned."""
    from tokens.models import IssuedToken

    times = [
        "rotated_at",
        "created_at",
        "authenticated_at",
        "last_seen_at",
        "idle_at",
        "expires_at",
        "revoked_at",
        "refused_at",
    ]

    def move(device, **delta):
        stored = IssuedToken.objects.get(pk=device.pk)
        for name in times:
            if getattr(stored, name) is not None:
                setattr(stored, name, getattr(stored, name) - timedelta(**delta))
        stored.save(update_fields=times)

    return move


@pytest.fixture(scope="session")
def forge():
    """`forge(payload, header=None, typ="at+jwt")` signs any payload, and any header, as the ring
    would: a dict becomes JSON, bytes stay as they are. Without a header it is the ring's own."""
    from tokens import signing

    def segment(content):
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    def sign(payload, header=None, *, typ=signing.ACCESS):
        key = signing.key_ring().signing_key(timezone.now())
        head = key.header[typ] if header is None else segment(header)
        message = f"{head}.{segment(payload)}"
        return f"{message}.{segment(key.sign(message.encode()))}"

    return sign


@pytest.fixture(scope="session")
def read_segment():
    """`read_segment(token, 1)` is the JSON of its payload, 0 that of its header."""

    def read(token, position=1):
        part = token.split(".")[position]
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    return read
