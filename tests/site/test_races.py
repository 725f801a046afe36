"""Requests that meet, from real processes on the database of this run: whatever the order, one
successor a token, and nothing lives on that was ended."""

import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.utils import timezone

from accounts import passkeys, throttling
from accounts.models import Throttle, User
from tests.plugins.authenticator import Authenticator, give_passkey
from tests.plugins.guestlist import NEW_PASSWORD, PASSWORD, ApiClient
from tokens import flows
from tokens.client import Client
from tokens.models import IssuedToken

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("races"),  # one after the other, or each worker has all the processes
    pytest.mark.no_cover,
]

PROCESSES = 12
MAX_DEVICES = 5  # of the racing processes
MILLISECOND = 1_000_000  # nanoseconds
nowhere = Client(ip_address=None)


class Racer:
    """A process that waits for its part of a round."""

    def __init__(self, end):
        self.end = end
        self.lines = end.makefile("rw")

    def tell(self, at, calls, *, at_once=False):
        command = {"at": at, "calls": calls, "at_once": at_once}
        self.lines.write(json.dumps(command) + "\n")
        self.lines.flush()

    def hear(self):
        return json.loads(self.lines.readline() or "null")

    def close(self):
        self.lines.close()
        self.end.close()


class Track:
    """The processes, and how often their requests met."""

    def __init__(self, racers):
        self.racers = racers
        self.met = 0
        self.pace = 6 * MILLISECOND

    def race(self, *parts, spread=False, at_once=False):
        """One round: each part, a list of calls, by a process of its own, all started together.
        Return each one's answers.

        With `spread` each starts after a random delay, of up to as long as the slowest part of the
        last such round took: so every order comes about, however slow the machine is.
        """
        racers = self.racers[: len(parts)]
        start = time.monotonic_ns() + 2 * MILLISECOND
        for racer, calls in zip(racers, parts, strict=True):
            delay = int(random.uniform(0, self.pace)) if spread else 0
            racer.tell(start + delay, calls, at_once=at_once)
        answers = [racer.hear() for racer in racers]
        if spread:
            self.pace = max(ones[-1]["end"] - ones[0]["start"] for ones in answers)
        self.met += meet(answers)
        return answers


def meet(answers):
    """Whether two processes were at work in the same instant."""
    pairs = itertools.combinations(answers, 2)
    return any(
        one["start"] < other["end"] and other["start"] < one["end"]
        for ones, others in pairs
        for one, other in itertools.product(ones, others)
    )


def call(name, *args, **kwargs):
    return {"call": name, "args": args, "kwargs": kwargs}


def log_in_as(user, password=PASSWORD):
    body = {"username": user.username, "password": password}
    return call("post", "login", body, address=address_of(user))


def address_of(user):
    """An address of their own, so that nobody's wrong passwords count against another."""
    return f"10.{user.pk >> 16 & 255}.{user.pk >> 8 & 255}.{user.pk & 255}"


@pytest.fixture(scope="module")
def racers(django_db_setup):
    """Processes on the database of the tests, which end well and have nothing to complain of."""
    environment = os.environ | {
        "RACE_DATABASE": str(connection.settings_dict["NAME"]),
        "MAX_DEVICES_PER_USER": str(MAX_DEVICES),
    }
    ends, theirs = zip(*(socket.socketpair() for _ in range(PROCESSES)), strict=True)
    descriptors = [end.fileno() for end in theirs]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.site.racer", *map(str, descriptors)],
            cwd=settings.BASE_DIR,
            env=environment,
            pass_fds=descriptors,
            stderr=complaints,
        )
        for end in theirs:
            end.close()
        racers = [Racer(end) for end in ends]
        yield racers
        for racer in racers:
            racer.close()
        status = process.wait()
        complaints.seek(0)
        assert (status, complaints.read()) == (0, "")


@pytest.fixture
def track(racers, db, request, record_property, settings):
    """Processes on the very database of this test, whose journal or isolation is as it should."""
    settings.ACCESS_TOKEN_LIFETIME = timedelta(hours=1)  # however slow the machine
    track = Track(racers)
    [[described]] = track.race([call("describe")])
    expected = {"sqlite": "wal", "postgresql": "read committed"}[connection.vendor]
    assert described == {
        "vendor": connection.vendor,
        "mode": expected,
        "name": str(connection.settings_dict["NAME"]),
    }
    track.met = 0
    yield track
    record_property("database", f"{connection.vendor}, {expected}")
    record_property("rounds in which requests met", track.met)
    sys.stdout.write(f"{request.node.name} on {connection.vendor} ({expected}): {track.met} met\n")


@pytest.fixture(params=[50, pytest.param(200, marks=pytest.mark.slow)], ids="{} rounds".format)
def people(request, db):
    """A user for each round."""
    return make_people(request.param)


@pytest.fixture
def few(db):
    return make_people(5)


def make_people(count):
    """Users with the same password, which is hashed once."""
    password = make_password(PASSWORD)
    names = [f"user{number}" for number in range(count)]
    return User.objects.bulk_create(
        User(username=name, email=f"{name}@example.org", password=password) for name in names
    )


def sign_in(people, devices=1):
    """The first pairs of so many devices of each user."""
    with transaction.atomic():
        clients = [Client(ip_address=address_of(user)) for user in people]
        return [
            [keep(flows.log_in(user, client)) for _ in range(devices)]
            for user, client in zip(people, clients, strict=True)
        ]


def keep(pair):
    return {"access_token": pair.access_token, "refresh_token": pair.refresh_token}


def pairs_of(answers):
    bodies = [answer["body"] for answer in answers if answer["status"] == 200]
    return [body for body in bodies if "refresh_token" in body]


def is_accepted(pair):
    return is_let_in(flows.authenticate, pair["access_token"])


def is_let_in(gate, token):
    try:
        gate(token, nowhere)
    except flows.Refused:
        return False
    return True


def assert_dead(pairs):
    """No access token and no refresh token of these is accepted."""
    for pair in pairs:
        assert not is_let_in(flows.authenticate, pair["access_token"])
        assert not is_let_in(flows.refresh, pair["refresh_token"])


def assert_refused_after(end, answers):
    """No request that started after the end was accepted."""
    for answer in answers:
        if answer["start"] > end["end"]:
            assert answer["status"] == 401


# One token


@pytest.mark.asvs("10.4.5", "15.4.2")
def test_twelve_processes_with_one_token_get_one_successor(track, alice):
    pair = ApiClient().log_in(alice).pair
    device = IssuedToken.objects.get()
    for generation in range(2, 52):
        parts = [[call("refresh", pair["refresh_token"])]] * PROCESSES
        answers = list(itertools.chain(*track.race(*parts)))

        assert [answer["status"] for answer in answers] == [200] * PROCESSES
        assert len({answer["body"]["refresh_token"] for answer in answers}) == 1
        assert all(is_accepted(answer["body"]) for answer in answers)
        device = IssuedToken.objects.with_state().get()
        assert (device.generation, device.state) == (generation, "live")
        pair = answers[-1]["body"]
    assert track.met >= 25


# An end against a refresh


def race_refreshes(track, pairs, end, *, times=2, uses=False):
    """A round of two processes: one refreshes each of the pairs in a row, the other ends them.

    Return the answer of the end, after which nothing was accepted, and the pairs given out.
    """
    chains = [call("refresh", pair["refresh_token"], times=times, uses=uses) for pair in pairs]
    refreshed, [ended] = track.race(chains, [end], spread=True)
    assert {answer["status"] for answer in refreshed} <= {200, 401}
    if ended["status"] < 400:
        assert_refused_after(ended, refreshed)
    given = [*pairs, *pairs_of(refreshed)]
    return ended, given


@pytest.mark.asvs("15.4.2")
def test_refresh_and_use_against_revoke(track, people, api, root):
    staff = api(root)
    lost = 0
    for user, pairs in zip(people, sign_in(people), strict=True):
        revoke = call(
            "post", f"users/{user.username}/devices/revoke", {}, token=staff.pair["access_token"]
        )
        ended, given = race_refreshes(track, pairs, revoke, uses=True)

        assert (ended["status"], ended["body"]) == (200, {"revoked": 1})
        assert_dead(given)
        lost += len(given) < 3
    assert not IssuedToken.objects.filter(user__in=people).live().exists()
    assert track.met >= len(people) / 10
    assert lost > 0


@pytest.mark.asvs("7.4.1")
def test_refresh_against_logout(track, people):
    for pairs in sign_in(people):
        logout = call("post", "logout", token=pairs[0]["access_token"])
        # One refresh, because a second one would expire the access token that logs out.
        ended, given = race_refreshes(track, pairs, logout, times=1)

        assert ended["status"] == 204
        assert_dead(given)
    assert track.met >= len(people) / 10


def test_refresh_against_password_change(track, people):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    for pairs in sign_in(people, devices=2):
        change = call("post", "password", body, token=pairs[0]["access_token"])
        ended, given = race_refreshes(track, pairs, change, times=1)

        assert ended["status"] == 200
        assert_dead(given)
        assert is_accepted(ended["body"])
    assert IssuedToken.objects.live().count() == len(people)
    assert track.met >= len(people) / 10


@pytest.mark.asvs("7.4.2")
def test_refresh_against_deactivation(track, people):
    for user, pairs in zip(people, sign_in(people), strict=True):
        ended, given = race_refreshes(track, pairs, call("deactivate", user.pk))

        assert ended["body"] == 1
        assert_dead(given)
        User.objects.filter(pk=user.pk).update(is_active=True)
        assert_dead(given)
    assert track.met >= len(people) / 10


def test_refresh_against_reauthentication(track, people):
    """The device lives on with a new handle: only what was signed for the former one ends."""
    for pairs in sign_in(people):
        token = pairs[0]["access_token"]
        renew = call("post", "reauthenticate", {"password": PASSWORD}, token=token)
        ended, given = race_refreshes(track, pairs, renew)

        if ended["status"] == 200:
            assert_dead(given)
            assert is_accepted(ended["body"])
        else:
            # Two refreshes came first, and the access token was of an older generation.
            assert ended["body"]["code"] == "token_expired"
            assert is_accepted(given[-1])
    assert IssuedToken.objects.live().count() == len(people)
    assert track.met >= len(people) / 10


# An end against a login


def race_logins(track, user, end):
    """A round of three processes: two log in, while the other ends devices."""
    login = [log_in_as(user)]
    *signed_in, [ended] = track.race(login, login, [end], spread=True)
    return ended, [*itertools.chain(*signed_in)]


@pytest.mark.asvs("15.4.2")
def test_old_password_against_password_change(track, people):
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    outcomes = set()
    for user, [pair] in zip(people, sign_in(people), strict=True):
        change = call("post", "password", body, token=pair["access_token"])
        ended, logins = race_logins(track, user, change)

        assert ended["status"] == 200
        assert {answer["status"] for answer in logins} <= {200, 401}
        assert_refused_after(ended, logins)
        assert_dead(pairs_of(logins))
        [device] = user.devices.live()
        assert str(device.pk) == ended["body"]["device"]["id"]
        assert not user.devices.filter(revoked_at=None).exclude(pk=device.pk).exists()
        outcomes |= {answer["status"] for answer in logins}
    assert outcomes == {200, 401}
    assert track.met >= len(people) / 10


@pytest.mark.asvs("2.3.3")
def test_login_against_logout_of_all(track, people):
    """Each login falls wholly before, and has ended, or wholly after, and lives."""
    survived = ended_at_once = 0
    for user, [pair] in zip(people, sign_in(people), strict=True):
        address = address_of(user)
        logout = call("post", "logout/all", token=pair["access_token"], address=address)
        ended, logins = race_logins(track, user, logout)

        assert ended["status"] == 200
        assert {answer["status"] for answer in logins} == {200}
        live = {str(key) for key in user.devices.live().values_list("pk", flat=True)}
        gone = user.devices.filter(revoked_reason="user")
        assert len(live) + gone.count() == 3
        assert ended["body"] == {"revoked": gone.count()}
        for answer in logins:
            survives = answer["body"]["device"]["id"] in live
            assert is_accepted(answer["body"]) == survives
            assert not (survives and answer["end"] < ended["start"])
            assert survives or answer["start"] < ended["end"]
        survived += len(live)
        ended_at_once += gone.count() - 1
    assert survived > 0
    assert ended_at_once > 0
    assert track.met >= len(people) / 10


@pytest.mark.asvs("2.3.3")
def test_login_against_deactivation(track, people):
    """No login is wholly after: none lives, also when the account is active again."""
    for user in people:
        ended, logins = race_logins(track, user, call("deactivate", user.pk))
        User.objects.filter(pk=user.pk).update(is_active=True)

        assert ended["body"] == 1
        assert {answer["status"] for answer in logins} <= {200, 401}
        assert_refused_after(ended, logins)
        assert_dead(pairs_of(logins))
    assert not IssuedToken.objects.live().exists()
    assert track.met >= len(people) / 10


# The number of devices


@pytest.mark.asvs("15.4.2")
def test_thirty_two_logins_at_once_leave_the_newest_five(track, few):
    for user in few:
        parts = [[log_in_as(user)] * 4] * 8
        answers = list(itertools.chain(*track.race(*parts, at_once=True)))

        assert [answer["status"] for answer in answers] == [200] * 32
        live = list(user.devices.live().values_list("created_at", flat=True))
        assert len(live) == MAX_DEVICES
        assert max(live) == user.devices.latest("created_at").created_at
        assert sum(is_accepted(answer["body"]) for answer in answers) == MAX_DEVICES
    assert track.met >= 3


# Guessing


def guess(name, password, address):
    return call("post", "login", {"username": name, "password": password}, address=address)


def test_sixty_wrong_passwords_at_once_are_five_guesses(track, few):
    for user in few:
        wrong = [guess(user.username, f"wrong {n}", address_of(user)) for n in range(60)]
        parts = [wrong[n : n + 5] for n in range(0, 60, 5)]
        answers = list(itertools.chain(*track.race(*parts, at_once=True)))

        statuses = sorted(answer["status"] for answer in answers)
        assert statuses == [401] * 5 + [429] * 55
        assert {answer["body"]["code"] for answer in answers} == {"login_failed", "throttled"}
        counts = throttling.of_user(user).values_list("count", "undecided")
        assert set(counts) == {(5, 0)}
    assert track.met >= 3


def test_right_and_wrong_passwords_at_once(track, few):
    """From one address, on a few accounts: nobody waits for ever, and no count stays behind."""
    here = "203.0.113.1"
    parts = [
        [guess(random.choice(few[:4]).username, PASSWORD, here) for _ in range(3)]
        + [guess(f"nobody{part % 3}", "wrong", here)]
        for part in range(PROCESSES)
    ]
    answers = list(itertools.chain(*track.race(*parts, at_once=True)))

    found = Counter(answer["status"] for answer in answers)
    assert found == {200: 3 * PROCESSES, 401: PROCESSES}
    assert not Throttle.objects.exclude(undecided=0).exists()
    assert [row.count for row in Throttle.objects.filter(kind="login_address")] == [PROCESSES]


def test_names_and_addresses_at_once(track, few):
    """Each try is counted on rows that it shares with some of the others: none waits for one that
    waits for it, which the database would end with an error."""
    addresses = ["203.0.113.1", "203.0.113.2", "2001:db8::1"]
    for _ in range(10):
        parts = [
            [
                guess(
                    random.choice(few[:3]).username,
                    random.choice([PASSWORD, PASSWORD, PASSWORD, "wrong"]),
                    random.choice(addresses),
                )
                for _ in range(4)
            ]
            for _ in range(PROCESSES)
        ]
        answers = list(itertools.chain(*track.race(*parts, at_once=True)))

        assert {answer["status"] for answer in answers} <= {200, 401, 429}
        assert not Throttle.objects.exclude(undecided=0).exists()
        Throttle.objects.all().delete()
    assert track.met >= 8


# Two staff


def test_staff_who_revoke_each_other_at_once_both_succeed(track, api, support, manager):
    """Neither waits for a lock that the other one holds."""
    for _ in range(50):
        one, other = api(support), api(manager)
        answers = track.race(
            [call("post", "users/manager/devices/revoke", {}, token=one.pair["access_token"])],
            [call("post", "users/support/devices/revoke", {}, token=other.pair["access_token"])],
        )
        assert {answer["status"] for [answer] in answers} <= {200, 401}
        assert {answer["status"] for [answer] in answers} & {200}
    assert track.met >= 20


# Passkeys


@pytest.fixture
def holders(few):
    """People with a verified address, and the authenticator of each."""
    User.objects.update(email_verified_at=timezone.now())
    people = User.objects.order_by("pk")
    return [(user, give_passkey(user)) for user in people]


def by_passkey(user, authenticator):
    answer = authenticator.use(passkeys.request_options(passkeys.login()))
    return call("post", "login", {"passkey": answer}, address=address_of(user))


def test_one_answer_of_a_passkey_at_once_is_one_sign_in(track, holders):
    for user, authenticator in holders:
        parts = [[by_passkey(user, authenticator)]] * PROCESSES
        answers = itertools.chain(*track.race(*parts))
        statuses = Counter(answer["status"] for answer in answers)
        assert statuses == {200: 1, 401: PROCESSES - 1}
        assert user.devices.count() == 1
    assert track.met >= 1


@pytest.mark.parametrize("is_one", [True, False], ids=["one passkey", "the last place"])
def test_registrations_at_once_add_one(track, holders, is_one):
    pairs = sign_in([user for user, _ in holders])
    for (user, _), [pair] in zip(holders, pairs, strict=True):
        while not is_one and user.passkeys.count() < passkeys.MAX_PASSKEYS - 1:
            give_passkey(user)
        purpose = passkeys.registration(user.devices.get().pk)
        made = [
            Authenticator().make(passkeys.creation_options(user, purpose)) for _ in range(PROCESSES)
        ]
        parts = [
            [call("send", "post", "me/passkeys", {"passkey": made[number * (not is_one)]}, **how)]
            for number in range(PROCESSES)
            for how in [{"token": pair["access_token"], "address": address_of(user)}]
        ]
        before = user.passkeys.count()
        statuses = Counter(answer["status"] for answer in itertools.chain(*track.race(*parts)))
        assert statuses == {201: 1, 400: PROCESSES - 1}
        assert user.passkeys.count() == before + 1
    assert track.met >= 1


def test_removal_of_a_passkey_against_a_sign_in(track, holders):
    for (user, authenticator), [pair] in zip(
        holders, sign_in([user for user, _ in holders]), strict=True
    ):
        path = f"me/passkeys/{user.passkeys.get().pk}"
        how = {"token": pair["access_token"], "address": address_of(user)}
        [removed], [signed_in] = track.race(
            [call("send", "delete", path, **how)], [by_passkey(user, authenticator)], spread=True
        )
        assert removed["status"] == 204
        assert signed_in["status"] in (200, 401)
        assert_refused_after(removed, [signed_in])
        assert user.devices.count() == 1 + (signed_in["status"] == 200)


def test_removal_of_a_passkey_against_a_new_name(track, holders):
    """The name does not bring it back."""
    pairs = sign_in([user for user, _ in holders])
    for (user, _), [pair] in zip(holders, pairs, strict=True):
        path = f"me/passkeys/{user.passkeys.get().pk}"
        how = {"token": pair["access_token"], "address": address_of(user)}
        [removed], [renamed] = track.race(
            [call("send", "delete", path, **how)],
            [call("send", "patch", path, {"name": "Work"}, **how)],
            spread=True,
        )
        assert removed["status"] == 204
        assert renamed["status"] in (200, 404)
        assert not user.passkeys.exists()
