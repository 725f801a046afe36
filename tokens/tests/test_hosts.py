"""Hosts whose clocks are wrong by more than an access token lasts. The database's clock counts."""

import random
import secrets
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.keys import generate_signing_key
from tokens.models import IssuedToken
from tokens.signing import REFRESH
from tokens.tests.clock import START

LASTS = timedelta(minutes=5)  # an access token
TICK = timedelta(microseconds=1)
BEGAN = int(START.timestamp())
nobody = Client(ip_address=None)

wrong = pytest.mark.parametrize("ahead", [-400, 400])


@pytest.fixture
def use(clock):
    """`use(client, token)` is the code of a refusal on each of two hosts, or "" on both."""

    def answer(client, token):
        codes = set()
        for clock.ahead in (-400, 400):
            bearer = {"authorization": f"Bearer {token}"}
            codes.add(client.get("me", **bearer).json().get("code", ""))
        [code] = codes
        return code

    return answer


@pytest.mark.asvs("9.2.1")
@wrong
def test_token_of_one_host_lasts_as_long_on_another(ahead, clock, use, api, alice, read_segment):
    clock.now, clock.ahead = START + 0.75 * timedelta(seconds=1), ahead
    phone = api(alice)
    token = phone.pair["access_token"]

    claims = read_segment(token)
    assert (claims["iat"], claims["exp"]) == (BEGAN, BEGAN + 300)
    assert use(phone, token) == ""
    clock.now = START + LASTS - TICK
    assert use(phone, token) == ""
    clock.now = START + LASTS
    assert use(phone, token) == "token_expired"


@wrong
def test_each_new_pair_begins_with_its_row(ahead, clock, api, alice, read_segment):
    clock.ahead = ahead
    phone = api(alice)

    def assert_begins_now(answer=None):
        if answer is not None:
            assert answer.status_code == 200
            phone.keep(answer.json())
        claims = [read_segment(phone.pair[name]) for name in ("access_token", "refresh_token")]
        assert [int(clock.now.timestamp())] * 2 == [each["iat"] for each in claims]
        assert claims[0]["exp"] == claims[0]["iat"] + 300
        assert phone.get("me").status_code == 200
        clock.now += timedelta(seconds=290)

    assert_begins_now()
    assert_begins_now(phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}))
    assert_begins_now(phone.post("reauthenticate", {"password": PASSWORD}))
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert_begins_now(phone.post("password", change))


def test_repeated_refresh_answers_an_access_token_of_its_own_moment(
    clock, api, alice, read_segment
):
    phone = api(alice)
    body = {"refresh_token": phone.pair["refresh_token"]}
    first = phone.post("refresh", body).json()

    clock.now, clock.ahead = START + timedelta(seconds=20), 400
    second = phone.post("refresh", body).json()

    assert first["refresh_token"] == second["refresh_token"]
    began = [read_segment(pair["access_token"])["iat"] for pair in (first, second)]
    assert began == [BEGAN, BEGAN + 20]


def test_pair_after_a_long_hash_begins_when_the_row_is_written(clock, api, alice, read_segment):
    """Its tokens are of the time of the lock, and so is the key that signs them."""
    phone = api(alice)
    device = flows.authenticate(phone.pair["access_token"], nobody)
    clock.now += timedelta(seconds=9)

    pair = flows.pair_of(device, flows.reauthenticate(device, alice))

    assert device.rotated_at == device.now == clock.now
    for token in (pair.access_token, pair.refresh_token):
        assert read_segment(token)["iat"] == BEGAN + 9


@wrong
def test_key_begins_on_every_host_at_one_moment(ahead, clock, settings, api, alice, read_segment):
    clock.ahead = ahead
    phone = api(alice)
    former, new = settings.JWT_SIGNING_KEYS[0], generate_signing_key()
    switch = START + timedelta(seconds=100)
    settings.JWT_SIGNING_KEYS = [former, new | {"use_from": switch.isoformat()}]

    def kids_at(moment):
        clock.now = moment
        phone.keep(phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json())
        return {
            read_segment(phone.pair[name], 0)["kid"] for name in ("access_token", "refresh_token")
        }

    assert kids_at(switch - TICK * 1000) == {former["kid"]}
    assert kids_at(switch) == {new["kid"]}


@wrong
def test_token_of_a_script_lasts_to_the_end_of_its_device(ahead, clock, use, api, alice):
    clock.now, clock.ahead = START + 0.75 * timedelta(seconds=1), ahead
    _, token = flows.issue_token(alice, name="backup", lasts=timedelta(days=90))

    clock.now = START + timedelta(days=90) - TICK
    assert use(api(), token) == ""
    clock.now = START + timedelta(days=90)  # its `exp` is in whole seconds
    assert use(api(), token) == "token_expired"


@wrong
def test_refresh_token_lasts_as_long_on_another_host(ahead, clock, api, alice):
    phone = api(alice)
    clock.now += timedelta(days=14) - TICK * 1000
    clock.ahead = ahead
    body = {"refresh_token": phone.pair["refresh_token"]}

    pair = phone.post("refresh", body).json()

    assert phone.keep(pair).get("me").status_code == 200
    clock.now += timedelta(days=14)
    answer = phone.post("refresh", {"refresh_token": pair["refresh_token"]})
    assert answer.json()["code"] == "device_idle"


# Odd times, validly signed

times = st.sampled_from([0, 1, 2**31, 2**53]) | st.integers(-401, 401).map(BEGAN.__add__)


@pytest.mark.asvs("9.2.1")
@hypothesis_settings(suppress_health_check=list(HealthCheck))
@given(
    exp=times,
    nbf=st.none() | times,
    iat=times,
    now=st.sampled_from([START - TICK * 1000, START, START + TICK * 1000]),
    ahead=st.sampled_from([-400, 0, 400]),
)
def test_signed_times_are_compared_with_the_database(
    clock, api, alice, forge, read_segment, exp, nbf, iat, now, ahead
):
    """`iat` decides nothing. Before `nbf` a token is not valid, whether or not it has ended."""
    phone = held_by(alice, api, clock)
    claims = read_segment(phone.pair["access_token"]) | {"exp": exp, "iat": iat}
    token = forge(claims if nbf is None else claims | {"nbf": nbf})
    clock.now, clock.ahead = now, ahead
    expected = "token_expired" if exp <= now.timestamp() else ""
    if nbf is not None and nbf > now.timestamp():
        expected = "token_invalid"

    answer = phone.get("me", authorization=f"Bearer {token}")

    assert answer.json().get("code", "") == expected


def held_by(user, api, clock):
    """A client with a device that lives at each time of these tests."""
    IssuedToken.objects.all().delete()
    clock.now, clock.ahead = START - timedelta(hours=1), 0
    pair = flows.log_in(user, nobody)
    return api().keep({"access_token": pair.access_token})


@pytest.mark.parametrize("generation", [1, 2, 3])
@wrong
def test_refresh_token_before_its_nbf_ends_nothing(
    ahead, clock, api, alice, forge, read_segment, generation
):
    """Not even where it would be a reuse."""
    phone = api(alice)
    claims = read_segment(phone.pair["refresh_token"])
    IssuedToken.objects.update(generation=generation)
    clock.ahead = ahead

    def refresh(**times):
        token = forge(claims | times, typ=REFRESH)
        return phone.post("refresh", {"refresh_token": token}).json().get("code", "")

    assert refresh(nbf=BEGAN + 1) == refresh(nbf=BEGAN + 1, exp=BEGAN) == "token_invalid"
    assert phone.device.state == "live"
    assert refresh(nbf=BEGAN, exp=BEGAN) == "token_expired"
    assert phone.device.state == "live"


# A month


@wrong
def test_hosts_apart_refuse_no_token_and_sign_nobody_out(ahead, clock, api, alice):
    """Each request of a client that keeps the rules goes to one or the other, for a month, and
    one answer in three to a refresh is lost."""
    dice = random.Random(ahead)
    phone = api(alice)
    renewed_at, ends = clock.now, clock.now + timedelta(days=30)

    def send(path, body=None, **headers):
        clock.ahead = dice.choice([0, ahead])
        return phone.post(path, body, **headers) if body else phone.get(path)

    def refresh():
        body = {"refresh_token": phone.pair["refresh_token"]}
        headers = {"idempotency-key": secrets.token_hex(), "authorization": ""}
        answer = send("refresh", body, **headers)
        if dice.random() < 1 / 3:
            clock.now += timedelta(minutes=2)
            lost, answer = answer, send("refresh", body, **headers)
            assert answer.json()["refresh_token"] == lost.json()["refresh_token"]
        assert answer.status_code == 200
        phone.keep(answer.json())
        return clock.now

    while clock.now < ends - timedelta(days=2):
        clock.now += timedelta(seconds=dice.choice([20, 120, 250, 270, 3600, 86400]))
        if clock.now - renewed_at > timedelta(seconds=280):
            renewed_at = refresh()
        assert send("me").status_code == 200
    assert phone.device.state == "live"
