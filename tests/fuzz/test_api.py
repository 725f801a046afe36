"""The API against its own description: schemathesis makes the requests, valid and not.

Every request starts from the same state, because what it changed is rolled back. `make fuzz` runs
this, with forty times as many examples by `pytest tests/fuzz --hypothesis-profile=thorough`.
"""

from contextlib import contextmanager

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, undone
from tokens.models import IssuedToken

# What a description cannot say of these operations, and so no fault. The checks hold for the rest.
LENIENT = {
    # DRF reads an odd `page_size` as none, and a number as text.
    negative_data_rejection: {
        "GET /api/v1/devices",
        "GET /api/v1/me/passkeys",
        "GET /api/v1/roles",
        "GET /api/v1/users",
        "GET /api/v1/users/{username}/devices",
        "POST /api/v1/roles",
        "PATCH /api/v1/roles/{name}",
    },
    # Rules beyond the shape of a value: a password is wrong, too common, or needed for some values
    # only; a name is unknown.
    positive_data_acceptance: {
        "POST /api/v1/signup",
        "POST /api/v1/reauthenticate",
        "POST /api/v1/password",
        "PATCH /api/v1/me",
        "POST /api/v1/roles",
        "PATCH /api/v1/roles/{name}",
        "POST /api/v1/users/devices/revoke",
        "PUT /api/v1/users/{username}/roles/{name}",
    },
}
DEVICES = {
    "alice": "a11ce000-0000-4000-8000-000000000001",
    "bob": "b0b00000-0000-4000-8000-000000000001",
    "manager": "5afe0000-0000-4000-8000-000000000001",
}
PATHS = {
    "id": list(DEVICES.values()),
    "username": ["alice", "bob", "manager"],
    "name": ["admin", "support"],
}
REFRESH_TOKEN = "the refresh token of who asks"
BODY = {
    "username": "alice",
    "password": PASSWORD,
    "current_password": PASSWORD,
    "new_password": NEW_PASSWORD,
    "refresh_token": REFRESH_TOKEN,
}
OF_BOB = ["b0b00000", "bob's phone", "bob@example.org"]


def application(environ, start_response):
    """Loaded at the first request: the static files of the tests are not there before."""
    from config.wsgi import application

    return application(environ, start_response)


schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
schema.app = application


@schema.hook
def flatmap_path_parameters(context, path_parameters):
    """Half of the requests name what exists."""
    real = {
        name: st.sampled_from(PATHS.get(name, [value]))
        for name, value in (path_parameters or {}).items()
    }
    return st.just(path_parameters) | st.fixed_dictionaries(real) if real else st.just({})


@schema.hook
def flatmap_body(context, body):
    """Half of the requests know the passwords and tokens."""
    if not isinstance(body, dict):
        return st.just(body)
    return st.just(body) | st.just(body | {name: BODY[name] for name in body if name in BODY})


def is_put_right(case):
    """Whether a value that was made up, perhaps to be wrong, gave way to one that is right."""
    body = case.body if isinstance(case.body, dict) else {}
    path = case.path_parameters or {}
    return any(body.get(name) == known for name, known in BODY.items()) or any(
        value in PATHS.get(name, []) for name, value in path.items()
    )


def left_out(case):
    """The checks that say nothing of this request."""
    checks = [check for check, labels in LENIENT.items() if case.operation.label in labels]
    return [*checks, negative_data_rejection] if is_put_right(case) else checks


@contextmanager
def one_request():
    """Keep the connection, and so the transaction, of the test, as Django's own test client does;
    roll back what the request changed."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        with undone():
            yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@pytest.fixture
def phones(api, alice, bob, manager):
    """A device and a passkey each, under ids that are known when the requests are made up."""
    phones = {user.username: api(user) for user in (alice, bob, manager)}
    for user in (alice, bob, manager):
        passkey = {"id": DEVICES[user.username], "credential": user.username.encode()}
        user.passkeys.create(**passkey, public_key=b"", name=f"{user.username}'s phone")
    for name, phone in phones.items():
        device = IssuedToken.objects.filter(pk=phone.pair["device"]["id"])
        device.update(id=DEVICES[name], name=f"{name}'s phone")
    return phones


def rows_of_bob():
    return list(IssuedToken.objects.filter(user__username="bob").values())


def test_all_but_these_operations_ask_who_it_is():
    """The description is made from the code: a view that forgets to ask forgets to say so too, and
    schemathesis would ask it for nothing."""
    operations = {
        f"{method.upper()} {path}": operation.get("security", [{}])
        for path, methods in schema.raw_schema["paths"].items()
        for method, operation in methods.items()
    }
    open_ones = {label for label, security in operations.items() if {} in security}
    assert open_ones == {
        "GET /api/v1/",
        "POST /api/v1/signup",
        "POST /api/v1/login",
        "POST /api/v1/login/options",
        "POST /api/v1/refresh",
    }
    assert len(operations) > 20


@pytest.mark.parametrize("who", ["alice", "manager"])
@schema.parametrize()
@hypothesis_settings(
    max_examples=hypothesis_settings().max_examples // 5,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_api_keeps_to_its_description(case, who, phones):
    phone, excluded = phones[who], left_out(case)
    if isinstance(case.body, dict) and case.body.get("refresh_token") == REFRESH_TOKEN:
        case.body = {**case.body, "refresh_token": phone.pair["refresh_token"]}
    bobs = rows_of_bob()
    devices = IssuedToken.objects.filter(pk=DEVICES[who])
    same = devices.filter(hash=devices.get().hash)
    with one_request():
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {phone.pair['access_token']}"},
            excluded_checks=excluded,
        )

        # A device that the request ended, or gave another handle, is not let in again.
        is_let_in = phone.get("me").status_code == 200
        assert is_let_in == same.live().exists()
        if who == "alice":
            assert rows_of_bob() == bobs
            assert not [word for word in OF_BOB if word in answer.text]
