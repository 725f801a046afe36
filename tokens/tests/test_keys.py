"""The ring of signing keys: which key signs when, and how keys are replaced without a refusal."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins.guestlist import PASSWORD
from tokens.keys import DevelopmentKeys, KeyRing, generate_signing_key, read_signing_keys

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, SECOND, TICK = timedelta(hours=1), timedelta(seconds=1), timedelta(microseconds=1)


def key(kid, use_from=None, *, alg="HS256", public=False):
    jwk = generate_signing_key(alg) | {"kid": kid}
    if use_from is not None:
        jwk["use_from"] = use_from if isinstance(use_from, str) else use_from.isoformat()
    return {name: value for name, value in jwk.items() if not (public and name == "d")}


def signer(ring, moment):
    return KeyRing(ring).signing_key(moment).kid


# Which key signs


def test_key_without_use_from_signs_until_the_next_one_begins():
    ring = [key("old"), key("new", NOON)]

    assert signer(ring, NOON - TICK) == "old"
    assert signer(ring, NOON) == "new"
    assert signer(ring, NOON + 1000 * HOUR) == "new"


def test_newest_key_that_has_begun_signs_wherever_it_stands_in_the_ring():
    ring = [key("c", NOON + HOUR), key("a"), key("b", NOON, alg="EdDSA")]

    assert [signer(ring, NOON + hours * HOUR) for hours in (-1, 0, 1)] == ["a", "b", "c"]


def test_first_key_of_the_ring_signs_on_a_tie():
    assert signer([key("first"), key("second")], NOON) == "first"
    assert signer([key("old"), key("first", NOON), key("second", NOON)], NOON) == "first"
    assert signer([key("first", NOON), key("second", NOON)], NOON - HOUR) == "first"


def test_same_moment_in_another_zone_is_a_tie():
    east = NOON.astimezone(timezone(HOUR * 5))
    assert signer([key("first", NOON), key("second", east)], NOON) == "first"


def test_public_key_never_signs():
    ring = [key("public", NOON + HOUR, alg="EdDSA", public=True), key("old"), key("new", NOON)]
    assert signer(ring, NOON + 2 * HOUR) == "new"
    ring = [key("public", alg="EdDSA", public=True), key("new", NOON)]
    assert signer(ring, NOON - HOUR) == "new"


def test_oldest_key_signs_before_the_first_use_from():
    """So a site always signs, and no clock stops its start."""
    ring = [key("later", NOON + HOUR), key("sooner", NOON)]
    assert signer(ring, NOON - HOUR) == "sooner"


times = st.datetimes(
    datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones() | st.just(UTC)
)
members = st.lists(st.tuples(st.none() | times, st.booleans()), min_size=1, max_size=6)
MADE = [(key(f"h{n}"), key(f"e{n}", alg="EdDSA", public=True)) for n in range(6)]


def make_ring(drawn):
    """JWKs of (use_from, is private) pairs. The keys are made once, because that is slow."""
    for (private, public), (use_from, is_private) in zip(MADE, drawn, strict=False):
        jwk = private if is_private else public
        yield jwk if use_from is None else jwk | {"use_from": use_from.isoformat()}


@given(members, times)
def test_any_ring_signs_by_the_rule(drawn, moment):
    """The rule as DESIGN says it, reckoned in another way: over all keys, with the greatest."""
    jwks = list(make_ring(drawn))
    private = [
        (use_from or datetime.min.replace(tzinfo=UTC), -place, jwks[place]["kid"])
        for place, (use_from, is_private) in enumerate(drawn)
        if is_private
    ]
    if not private:
        with pytest.raises(ImproperlyConfigured, match="private"):
            KeyRing(jwks)
        return
    come = [one for one in private if one[0] <= moment]
    first = min(use_from for use_from, _, _ in private)
    expected = max(come or [one for one in private if one[0] == first])

    assert signer(jwks, moment) == expected[2]


@given(members, times, times)
def test_order_of_different_times_plays_no_part(drawn, moment, other):
    jwks = list(make_ring(drawn))
    named = [use_from for use_from, _ in drawn]
    if len(set(named)) == len(named) and any(is_private for _, is_private in drawn):
        assert signer(jwks, moment) == signer(jwks[::-1], moment)


# What stops the start


@pytest.mark.parametrize(
    "use_from",
    [
        "",
        "soon",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "12:00Z",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
        "2026-03-01T12:00:00Z\n",
        "+1h",
        1772366400,
        True,
        None,
        ["2026-03-01T12:00:00Z"],
        {},
    ],
)
def test_unreadable_use_from_stops_the_start(use_from):
    jwk = generate_signing_key() | {"use_from": use_from}

    with pytest.raises(ImproperlyConfigured) as caught:
        KeyRing([generate_signing_key(), jwk])

    assert str(caught.value) == (
        "JWT_SIGNING_KEYS: key 2 needs a use_from like 2026-01-31T18:30:00Z (ISO 8601 with a time "
        "zone), or none"
    )


@pytest.mark.parametrize(
    "use_from",
    [
        "2026-03-01T12:00Z",
        "2026-03-01T12:00:00+00:00",
        "20260301T120000Z",
        "2026-03-01T17:00+05:00",
    ],
)
def test_iso_8601_with_a_zone_is_read(use_from):
    assert KeyRing([key("a", use_from)]).keys[0].use_from == NOON


def test_ring_of_public_keys_stops_the_start():
    with pytest.raises(ImproperlyConfigured, match="holds no private key, so no key can sign"):
        KeyRing([key("public", alg="EdDSA", public=True)])


def test_development_keys_have_a_use_from_too(tmp_path):
    path = tmp_path / ".dev-keys.json"
    ring = [key("old"), key("new", NOON)]
    path.write_text(json.dumps({"SECRET_KEY": "x" * 50, "JWT_SIGNING_KEYS": {"keys": ring}}))
    assert signer(read_signing_keys("", None, DevelopmentKeys(path)), NOON) == "new"


# Over HTTP, across the moment of the switch


@pytest.fixture
def refresh(api, read_segment):
    """`refresh(phone)` are the kids of access and refresh token, and the refresh token."""

    def send(phone, token=None):
        token = token or phone.pair["refresh_token"]
        answer = api().post("refresh", {"refresh_token": token})
        assert answer.status_code == 200, answer.json()
        pair = answer.json()
        names = ("access_token", "refresh_token")
        return [read_segment(pair[name], 0)["kid"] for name in names], pair["refresh_token"]

    return send


@pytest.mark.asvs("11.2.2")
@pytest.mark.parametrize(("old", "new"), [("HS256", "HS256"), ("HS256", "EdDSA")])
def test_repeated_refresh_answers_the_same_bytes_after_the_switch(
    settings, api, alice, refresh, old, new
):
    settings.JWT_SIGNING_KEYS = [key("old", alg=old)]
    phone = api(alice)
    kids, token = refresh(phone)
    assert kids == ["old", "old"]

    switch = phone.device.rotated_at + TICK
    settings.JWT_SIGNING_KEYS = [*settings.JWT_SIGNING_KEYS, key("new", switch, alg=new)]

    kids, again = refresh(phone)
    assert again == token
    assert kids == ["new", "old"]
    kids, _ = refresh(phone, token)
    assert kids == ["new", "new"]


def test_hosts_before_and_after_the_switch_accept_each_other(settings, api, alice, refresh):
    """Both hosts have both keys; only their rows are from before and after `use_from`."""
    settings.JWT_SIGNING_KEYS = [key("old"), key("new", datetime.now(UTC) + HOUR, alg="EdDSA")]
    phone = api(alice)
    assert refresh(phone)[0] == ["old", "old"]

    settings.JWT_SIGNING_KEYS = [
        settings.JWT_SIGNING_KEYS[0],
        settings.JWT_SIGNING_KEYS[1] | {"use_from": (datetime.now(UTC) - SECOND).isoformat()},
    ]
    assert phone.get("me").status_code == 200
    assert api(alice).get("me").status_code == 200


def test_key_before_its_time_verifies_already(settings, api, alice):
    old, new = key("old"), key("new")
    settings.JWT_SIGNING_KEYS = [new]
    phone = api(alice)

    later = (datetime.now(UTC) + HOUR).isoformat()
    settings.JWT_SIGNING_KEYS = [old, new | {"use_from": later}]
    assert phone.get("me").status_code == 200


def test_new_handle_is_signed_with_the_key_of_its_moment(settings, api, alice, age, read_segment):
    """Giving the password again makes new tokens in an old row."""
    settings.JWT_SIGNING_KEYS = [key("old")]
    phone = api(alice)
    age(phone.device, hours=2)
    switch = datetime.now(UTC) - HOUR
    settings.JWT_SIGNING_KEYS = [*settings.JWT_SIGNING_KEYS, key("new", switch)]

    answer = phone.post("reauthenticate", {"password": PASSWORD})

    assert answer.status_code == 200
    pair = answer.json()
    for name in ("access_token", "refresh_token"):
        assert read_segment(pair[name], 0)["kid"] == "new"
