"""Rotation: one successor, the same answer for a lost one, and an alarm for a reuse."""

import logging
from datetime import timedelta

import pytest
from django.db import connection

from tokens import flows, signing
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.tests.requests import assert_refused, refresh

OKHTTP = "okhttp/4.12.0"
KEY, OTHER_KEY = "a key of an attempt", "a key of another one"


@pytest.fixture
def phone(api, alice):
    return api(alice)


def test_refresh_answers_a_whole_pair_of_the_next_generation(phone):
    answer = refresh(phone)

    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == set(phone.pair)
    assert pair["access_token"] != phone.pair["access_token"]
    assert pair["refresh_token"] != phone.pair["refresh_token"]
    assert pair["device"]["id"] == phone.pair["device"]["id"]
    assert pair["device"]["is_current"] is True
    assert phone.device.generation == 2
    assert phone.keep(pair).get("me").status_code == 200


def test_former_access_token_lasts_for_one_generation(phone):
    former = {"authorization": f"Bearer {phone.pair['access_token']}"}
    phone.keep(refresh(phone).json())
    assert phone.get("me", **former).status_code == 200

    phone.keep(refresh(phone).json())

    assert_refused(phone.get("me", **former), "token_expired")


def test_former_access_token_is_not_fresh(phone):
    former = {"authorization": f"Bearer {phone.pair['access_token']}"}
    refresh(phone)

    answer = phone.post("logout/others", **former)

    assert answer.status_code == 401
    assert answer.json()["code"] == "reauthentication_required"


def test_same_token_within_the_grace_gets_the_same_refresh_token_to_the_byte(phone):
    first, second = refresh(phone, key="one"), refresh(phone, key="two")

    assert second.json()["refresh_token"] == first.json()["refresh_token"]
    assert phone.device.generation == 2


def test_grace_covers_a_confirmed_generation(phone, age):
    rotated = refresh(phone).json()
    phone.get("me", authorization=f"Bearer {rotated['access_token']}")
    age(phone.device, seconds=25)

    assert refresh(phone).status_code == 200


@pytest.mark.parametrize("key", ["a key of 16 char", "\u00e9" * 16, KEY])
def test_lost_answer_is_given_again_to_the_same_attempt_after_the_grace(phone, age, key):
    first = refresh(phone, key=key).json()
    age(phone.device, days=2)

    again = refresh(phone, key=key)

    assert again.status_code == 200
    assert phone.keep(again.json()).get("me").status_code == 200
    assert first["device"]["id"] == again.json()["device"]["id"]


def test_lost_answer_repeats_the_same_bytes_after_the_grace(phone, age):
    refresh(phone, key=KEY)
    age(phone.device, minutes=10)

    answers = {refresh(phone, key=KEY).json()["refresh_token"] for _ in range(3)}

    assert len(answers) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (KEY, OTHER_KEY),
        (KEY, None),
        (None, KEY),
        ("", None),
        (None, None),
        ("", ""),
        (KEY[:15], KEY[:15]),
    ],
)
def test_another_attempt_after_the_grace_is_a_reuse(phone, age, first, second):
    refresh(phone, key=first)
    age(phone.device, seconds=31)

    assert_refused(refresh(phone, key=second), "refresh_invalid")
    assert phone.device.revoked_reason == "reuse"


@pytest.mark.asvs("10.4.5")
def test_token_that_was_confirmed_is_a_reuse_after_the_grace(phone, age):
    rotated = refresh(phone, key=KEY).json()
    phone.get("me", authorization=f"Bearer {rotated['access_token']}")
    age(phone.device, seconds=31)

    assert_refused(refresh(phone, key=KEY), "refresh_invalid")
    assert_refused(
        phone.get("me", authorization=f"Bearer {rotated['access_token']}"), "device_revoked"
    )


@pytest.mark.asvs("10.4.5")
def test_client_without_keys_and_a_thief_are_told_apart_at_once(phone, api, age, settings):
    """Also if the thief uses nothing before the client does, and neither sends a key."""
    settings.REFRESH_GRACE = timedelta(0)
    thief, copy = api(), phone.pair["refresh_token"]
    thief.keep(refresh(thief, copy).json())
    age(phone.device, seconds=1)

    assert_refused(refresh(phone, copy), "refresh_invalid")
    assert_refused(thief.get("me"), "device_revoked")
    assert phone.device.alarm == "reuse"


@pytest.mark.parametrize("rotations", [2, 3, 4])
def test_key_of_the_rotation_before_counts_as_none(phone, age, rotations):
    """A client that always sends the same key has none, however often it sends it."""
    for _ in range(rotations - 1):
        phone.keep(refresh(phone, key=KEY).json())
    refresh(phone, key=KEY)
    age(phone.device, seconds=31)

    assert_refused(refresh(phone, key=KEY), "refresh_invalid")


@pytest.mark.parametrize(
    ("address", "agent", "is_lost"),
    [
        ("127.0.0.9", OKHTTP, True),
        ("127.0.1.9", OKHTTP, False),
        ("127.0.0.1", "curl/8.5.0", False),
        ("", OKHTTP, False),
    ],
)
def test_reuse_by_what_looks_like_the_same_device_is_probably_a_lost_answer(
    api, alice, age, address, agent, is_lost
):
    phone, laptop = api(alice), api(alice)
    refresh(phone, **{"user-agent": OKHTTP})
    age(phone.device, seconds=31)
    refresh(api(REMOTE_ADDR=address), phone.pair["refresh_token"], **{"user-agent": agent})

    [listed] = laptop.get("devices?state=revoked").json()["results"]
    assert ("probably an answer was lost" in listed["revoked_note"]) is is_lost
    assert phone.get("me").json()["note"] == ""  # the thief reads this as well


def test_user_agents_of_a_reuse_are_parsed_when_it_is_written(
    phone, age, api, alice, browser, monkeypatch
):
    page = browser(alice)
    refresh(phone, **{"user-agent": OKHTTP})
    age(phone.device, seconds=31)
    refresh(phone, **{"user-agent": "curl/8.5.0"})

    calls = []
    monkeypatch.setattr("tokens.user_agents.ua_parser.parse", calls.append)
    assert "from 127.0.0.1 by curl." in page.get("/devices/").content.decode()
    assert calls == []


@pytest.mark.asvs("10.4.5")
def test_token_two_generations_old_is_a_reuse_at_once(phone):
    old = phone.pair["refresh_token"]
    phone.keep(refresh(phone).json())
    phone.keep(refresh(phone).json())

    assert_refused(refresh(phone, old), "refresh_invalid")

    refused = phone.get("me")
    assert_refused(refused, "device_revoked")
    assert refused.json()["reason"] == "reuse"


@pytest.mark.asvs("16.3.3")
def test_reuse_keeps_both_sides_and_logs_them(api, alice, caplog):
    phone = api(alice)
    old = phone.pair["refresh_token"]
    for _ in range(2):
        answer = refresh(phone, **{"user-agent": OKHTTP})
        phone.keep(answer.json())
    with caplog.at_level(logging.WARNING, "tokens"):
        thief = api(REMOTE_ADDR="81.2.69.142")
        refresh(thief, old, **{"user-agent": "curl/8.5.0"})

    device = phone.device
    assert (device.rotated_ip, device.rotated_user_agent) == ("127.0.0.1", OKHTTP)
    assert (device.alarm_ip, device.alarm_client) == ("81.2.69.142", "curl/8.5.0")
    assert device.rotated_at < device.alarm_at
    [alarm] = [record for record in caplog.records if record.msg == "refresh token reused"]
    assert alarm.levelname == "WARNING"
    assert (alarm.first_ip, alarm.second_ip) == ("127.0.0.1", "81.2.69.142")
    assert old not in caplog.text


@pytest.mark.asvs("10.4.5")
def test_owner_and_staff_see_both_sides_of_a_reuse(api, alice, browser, root):
    phone, laptop = api(alice), api(alice)
    old = phone.pair["refresh_token"]
    for _ in range(2):
        phone.keep(refresh(phone, **{"user-agent": OKHTTP}).json())
    refresh(api(REMOTE_ADDR="81.2.69.142"), old, **{"user-agent": "curl/8.5.0"})

    [listed] = laptop.get("devices?state=revoked").json()["results"]
    page = browser(root).get(f"/admin/tokens/issuedtoken/{listed['id']}/change/").content.decode()

    assert listed["revoked_reason"] == "reuse"
    for text in (listed["revoked_note"], page):
        assert "from 127.0.0.1 by okhttp" in text
        assert "from 81.2.69.142 by curl" in text


def test_reuse_is_kept_once(phone, caplog):
    old = phone.pair["refresh_token"]
    phone.keep(refresh(phone).json())
    phone.keep(refresh(phone).json())
    refresh(phone, old, **{"user-agent": "first"})
    first = phone.device

    assert_refused(refresh(phone, old, **{"user-agent": "second"}), "refresh_invalid")

    assert phone.device.alarm_client == "first"
    assert phone.device.revoked_at == first.revoked_at
    assert [r.getMessage() for r in caplog.records].count("refresh token reused") == 1


def test_token_ahead_of_its_row_is_refused_and_revokes_nothing(phone):
    ahead = refresh(phone).json()
    IssuedToken.objects.update(generation=1)

    assert_refused(refresh(phone, ahead["refresh_token"]), "token_invalid")
    assert phone.device.state == "live"


def spelled_otherwise(token):
    """The same signature, spelled in ways that lenient decoders take for the same token."""
    header, payload, signature = token.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(signature[-1]) ^ 1]
    yield f"{token}="
    yield f"{header}.{payload}.{signature[:-1]}{twin}"
    yield f"{header}=.{payload}.{signature}"
    yield f"{header}.{payload}=.{signature}"
    yield token.replace("-", "+").replace("_", "/") + "%3D"
    yield f"{token}\n"


def test_old_token_in_another_spelling_is_no_token_at_all(phone):
    old = phone.pair["refresh_token"]
    phone.keep(refresh(phone).json())
    phone.keep(refresh(phone).json())

    for token in spelled_otherwise(old):
        answer = refresh(phone, token)
        # A body's outer white space is trimmed like any field's; what is left is the old token.
        expected = "refresh_invalid" if token.strip() == old else "token_invalid"
        assert_refused(answer, expected)
    assert phone.device.revoked_reason == "reuse"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a" * 5000])
def test_nonsense_is_refused(phone, token):
    answer = phone.post("refresh", {"refresh_token": token})
    if token:
        assert_refused(answer, "token_invalid")
    else:
        assert answer.status_code == 400


@pytest.mark.asvs("9.2.2")
def test_access_token_does_not_refresh(phone):
    assert_refused(refresh(phone, phone.pair["access_token"]), "token_invalid")


def test_handle_of_no_row_is_refused(phone):
    token = phone.pair["refresh_token"]
    IssuedToken.objects.all().delete()
    assert_refused(refresh(phone, token), "token_invalid")


@pytest.mark.asvs("10.3.3")
def test_row_of_another_user_is_refused(phone, bob):
    IssuedToken.objects.update(user=bob, password_epoch=bob.password_changed_at)
    assert_refused(refresh(phone), "token_invalid")


def test_stale_authorization_header_is_ignored(phone):
    assert refresh(phone, authorization="Bearer nonsense").status_code == 200


# Lifetimes


@pytest.mark.asvs("7.3.2")
def test_no_refresh_extends_the_end(phone, age):
    ends = phone.device.expires_at
    for _ in range(3):
        phone.keep(refresh(phone).json())
    assert phone.device.expires_at == ends


@pytest.mark.asvs("7.3.2")
def test_refresh_token_never_outlasts_the_device(phone, age):
    age(phone.device, days=20)
    IssuedToken.objects.update(idle_at=phone.device.expires_at)

    token = refresh(phone).json()["refresh_token"]

    claims = signing.verify(token, signing.REFRESH)
    assert claims.exp == int(phone.device.expires_at.timestamp())
    assert phone.device.idle_at == phone.device.expires_at


@pytest.mark.asvs("7.3.2", "10.4.8")
def test_refreshing_every_day_ends_on_day_thirty(phone, age):
    for _ in range(29):
        age(phone.device, days=1)
        answer = refresh(phone)
        assert answer.status_code == 200
        phone.keep(answer.json())
        phone.get("me")
    age(phone.device, days=1)
    assert_refused(refresh(phone), "device_expired")


@pytest.mark.asvs("7.3.1")
def test_idle_device_cannot_be_woken(phone, age):
    age(phone.device, days=14)

    assert_refused(refresh(phone), "device_idle")
    assert_refused(phone.get("me"), "device_idle")
    assert phone.device.state == "idle"


@pytest.mark.asvs("7.3.1")
def test_device_is_kept_awake_to_the_last_second(phone, age):
    age(phone.device, days=13, hours=23, minutes=59)
    assert refresh(phone).status_code == 200


def test_refresh_token_past_its_own_end_is_expired(phone, settings):
    settings.DEVICE_IDLE_TIMEOUT = -settings.DEVICE_IDLE_TIMEOUT
    token = flows.pair_of(phone.device, "x" * 43).refresh_token
    IssuedToken.objects.update(hash=signing.hash_handle("x" * 43))

    assert_refused(refresh(phone, token), "token_expired")
    assert phone.device.revoked_at is None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("is_active", False, "user_inactive"), ("password_changed_at", None, "password_changed")],
)
def test_account_that_changed_refuses_to_refresh(phone, alice, field, value, code):
    with connection.cursor() as cursor:
        if field == "is_active":
            cursor.execute("UPDATE accounts_user SET is_active = %s", [value])
        else:
            cursor.execute("UPDATE accounts_user SET password_changed_at = date_joined")
    assert_refused(refresh(phone), code)


def test_revoked_device_is_told_so_with_the_note_of_staff(phone, alice, root):
    flows.revoke_for_user(alice, alice.devices.all(), by=root, note="Call 555.")

    answer = refresh(phone)

    assert_refused(answer, "device_revoked")
    assert (answer.json()["reason"], answer.json()["note"]) == ("staff", "Call 555.")


def test_answer_is_not_given_again_to_a_device_that_ended(phone, alice, root):
    """Neither within the grace nor to the same attempt."""
    old = phone.pair["refresh_token"]
    assert refresh(phone, old, key=KEY).status_code == 200
    flows.revoke_for_user(alice, alice.devices.all(), by=root)

    assert_refused(refresh(phone, old, key=KEY), "device_revoked")


# Costs


def test_refresh_costs_two_statements(phone, django_assert_num_queries):
    with django_assert_num_queries(2):
        assert refresh(phone).status_code == 200


def test_repeated_answer_costs_one_query_and_no_write(phone, django_assert_num_queries):
    refresh(phone)
    with django_assert_num_queries(1) as captured:
        assert refresh(phone).status_code == 200
    assert captured[0]["sql"].startswith("SELECT")


def test_rotation_lost_to_another_costs_three_statements(phone, django_assert_num_queries):
    """Another process rotates between the read and the update: the flow reads once more."""

    def rotate_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not rotated:
            rotated.append(True)
            flows.refresh(phone.pair["refresh_token"], Client(ip_address=None))
        return execute(sql, params, many, context)

    rotated = []
    with django_assert_num_queries(3 + 2), connection.execute_wrapper(rotate_first):
        answer = refresh(phone)

    assert answer.status_code == 200
    assert phone.device.generation == 2


def test_first_use_and_rotation_write_once_each(phone, django_assert_num_queries):
    phone.get("me")
    phone.keep(refresh(phone).json())
    roles = 1  # what `me` itself asks for
    with django_assert_num_queries(2 + roles):
        phone.get("me")
    with django_assert_num_queries(1 + roles):
        phone.get("me")


def test_late_confirmation_never_confirms_a_later_generation(phone):
    former = {"authorization": f"Bearer {phone.pair['access_token']}"}
    refresh(phone)

    phone.get("me", **former)

    assert phone.device.confirmed is False
