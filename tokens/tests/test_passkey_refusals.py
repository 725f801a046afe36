"""Every door that takes a passkey, and what lies before it: only documented refusals."""

import json
from itertools import product
from types import SimpleNamespace

import pytest
from django.test import Client as Browser
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.passkeys import REFUSED
from accounts.tests.test_passkeys import LIES, LIES_OF_A_NEW_ONE, checked, decoded, disturbed
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import undone
from tokens.models import IssuedToken
from tokens.tests.pages import Page


@pytest.fixture
def world(api, browser, alice):
    """alice with a passkey, a browser and an app, each with a device that is fresh."""
    return SimpleNamespace(
        api=api, alice=alice, key=give_passkey(alice), tab=browser(alice), phone=api(alice)
    )


# A door makes an answer, sends what became of it, and says whether that was accepted. Any other
# answer than its refusal fails.


def login_page(world, bend, **lies):
    tab = Browser()
    answer = world.key.use(tab.post("/login/options").json(), **lies)
    return is_accepted(tab.post("/login", on_page(bend(answer))))


def step_up_page(world, bend, **lies):
    answer = world.key.use(world.tab.post("/account/passkeys/step-up").json(), **lies)
    page = world.tab.post("/account/names", {**NAMES, **on_page(bend(answer))})
    return is_accepted(page)


def add_page(world, bend, **lies):
    answer = Authenticator().make(world.tab.post("/account/passkeys/options").json(), **lies)
    return is_accepted(world.tab.post("/account/passkeys/add", on_page(bend(answer))))


def login_api(world, bend, **lies):
    client = world.api()
    answer = world.key.use(client.post("login/options").json(), **lies)
    return is_accepted(client.post("login", {"passkey": bend(answer)}))


def step_up_api(world, bend, **lies):
    answer = world.key.use(world.phone.post("reauthenticate/options").json(), **lies)
    return is_accepted(world.phone.post("reauthenticate", {"passkey": bend(answer)}))


def add_api(world, bend, **lies):
    answer = Authenticator().make(world.phone.post("me/passkeys/options").json(), **lies)
    return is_accepted(world.phone.post("me/passkeys", {"passkey": bend(answer)}))


NAMES = {"username": "alice", "email": "alice@example.org", "current_password": ""}
USING = [login_page, login_api, step_up_page, step_up_api]
ADDING = [add_page, add_api]


def on_page(answer):
    return {"passkey": json.dumps(answer), "name": "Mine"}


def is_accepted(answer):
    if answer.status_code in (302, 201):
        return True
    if not answer.headers["Content-Type"].startswith("application/json"):
        assert REFUSED in Page(answer).text
        return False
    body = answer.json()
    if answer.status_code == 200:
        return bool(body["access_token"])
    known = [
        (401, {"detail": REFUSED, "code": "login_failed"}),
        (400, {"passkey": [REFUSED]}),
    ]
    if (answer.status_code, body) not in known:  # JSON that Python writes and no parser takes
        assert (answer.status_code, body["code"]) == (400, "parse_error")
    return False


def unchanged(answer):
    return answer


def state(user):
    devices = IssuedToken.objects.order_by("pk").values_list("pk", "authenticated_at", "hash")
    passkeys = user.passkeys.order_by("pk").values_list("pk", "counter", "challenged_at")
    return list(devices), list(passkeys)


@pytest.mark.parametrize("door", [*USING, *ADDING])
def test_each_door_takes_what_is_right(world, door):
    assert door(world, unchanged)


# A step-up knows who asks, so there the user handle may be missing.
NO_LIES = [(door, "no user handle") for door in (step_up_page, step_up_api)]


@pytest.mark.parametrize(
    ("door", "lie"), [pair for pair in product(USING, LIES) if pair not in NO_LIES]
)
def test_a_lie_changes_nothing(world, door, lie):
    before = state(world.alice)
    assert not door(world, unchanged, **LIES[lie])
    assert state(world.alice) == before


@pytest.mark.parametrize("lie", LIES_OF_A_NEW_ONE.values(), ids=LIES_OF_A_NEW_ONE)
@pytest.mark.parametrize("door", ADDING)
def test_a_new_one_that_lies_is_not_added(world, door, lie):
    before = state(world.alice)
    assert not door(world, unchanged, **lie)
    assert state(world.alice) == before


@pytest.mark.parametrize("door", [*USING, *ADDING])
@hypothesis_settings(
    max_examples=hypothesis_settings().max_examples // 4, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_anything_else_gets_a_documented_refusal(world, door, data):
    sent = []

    def bend(answer):
        sent.extend([answer, disturbed(answer, data)])
        return sent[-1]

    with undone():
        before = state(world.alice)
        if not door(world, bend):
            assert state(world.alice) == before
            return
    answer, bad = sent
    if door in ADDING:
        assert checked(bad) == checked(answer)
    else:
        signed = set(answer["response"]) - {"userHandle"}
        assert decoded(bad, signed) == decoded(answer, signed)
