"""Random histories of one person's device, against the rules of rotation in forty lines.

They go through `flows`, whose answers are all that a client sees: as requests they would take
four times as long. The clock is the database's own, turned by hand. That of the host may be wrong.
"""

import copy
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tokens import flows, signing
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.tests.clock import START

GRACE = timedelta(seconds=30)
IDLE = timedelta(days=14)
LIFETIME = timedelta(days=30)
TOUCH = timedelta(seconds=60)
TICK = timedelta(microseconds=1)
COLUMNS = [
    "hash",
    "generation",
    "rotated_at",
    "confirmed",
    "attempt_hash",
    "last_seen_at",
    "idle_at",
    "expires_at",
    "revoked_at",
    "revoked_reason",
]
nobody = Client(ip_address=None)

pytestmark = pytest.mark.no_cover


# The rules


@dataclass(frozen=True)
class Token:
    """A token and what it says, as its holder cannot know it."""

    jwt: str = field(repr=False)
    handle: int
    generation: int
    exp: int


@dataclass
class Row:
    """What section 5 of the design says of a device."""

    handle: int
    now: datetime
    generation: int = 1
    confirmed: bool = False
    attempt: str | None = None
    is_spent: bool = False
    revoked: str = ""

    def __post_init__(self):
        self.expires_at = self.now + LIFETIME
        self.rotated_at = self.now
        self.see(self.now)

    def see(self, now):
        self.last_seen_at = now
        self.idle_at = min(now + IDLE, self.expires_at)

    def state(self, now):
        if self.revoked:
            return "device_revoked"
        if self.expires_at <= now:
            return "device_expired"
        return "device_idle" if self.idle_at <= now else ""

    def use(self, token, now):
        """The answer, and whether the row has to be written for it."""
        if token.handle != self.handle:
            return "token_invalid", False
        if token.exp <= now.timestamp():
            return "token_expired", False
        if token.generation > self.generation:
            return "token_invalid", False
        if self.state(now):
            return self.state(now), False
        if token.generation < self.generation - 1:
            return "token_expired", False
        return "", self.confirms(token) or now - self.last_seen_at >= TOUCH

    def confirms(self, token):
        return not self.confirmed and token.generation == self.generation

    def note_use(self, token, now):
        self.confirmed |= token.generation == self.generation
        self.see(now)

    def refresh(self, token, key, now):
        """The answer, once the row is what it left behind."""
        if token.handle != self.handle or token.generation > self.generation:
            return "token_invalid"
        if token.generation >= self.generation - 1 and self.state(now):
            return self.state(now)
        if token.exp <= now.timestamp():
            return "token_expired"
        if token.generation == self.generation:
            self.advance(key, now)
            self.see(now)
            return ""
        is_same = key is not None and self.attempt == key and not self.is_spent
        lost = not self.confirmed and is_same
        if token.generation == self.generation - 1 and (now - self.rotated_at <= GRACE or lost):
            return ""
        self.revoked = self.revoked or "reuse"
        return "refresh_invalid"

    def advance(self, key, now):
        self.generation += 1
        self.rotated_at = now
        self.confirmed = False
        self.is_spent = key is not None and key == self.attempt
        self.attempt = key

    def attempt_hash(self):
        """The row tells a key that came twice in a row from one that came once."""
        kept = self.attempt and signing.hash_handle(self.attempt)
        return signing.hash_handle(kept.hex()) if self.is_spent else kept

    def columns(self):
        """What the row must be, as far as the rules say."""
        return {
            "generation": self.generation,
            "rotated_at": self.rotated_at,
            "confirmed": self.confirmed,
            "attempt_hash": self.attempt_hash(),
            "last_seen_at": self.last_seen_at,
            "idle_at": self.idle_at,
            "expires_at": self.expires_at,
            "revoked_reason": self.revoked,
        }


# Whoever follows the rules for clients


class HonestClients(RuleBasedStateMachine):
    """A client that keeps the rules of docs/api.md, on a bad network, is never signed out but by
    its owner, by staff, by its age, or by a database that was put back. One that sends no keys is
    also signed out if an answer is lost for longer than the grace."""

    def __init__(self, user, clock):
        super().__init__()
        self.user = user
        self.clock = clock
        clock.now = START
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.numbers = iter(range(1_000_000))
        self.row = None

    def teardown(self):
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    @initialize(sends_keys=st.booleans(), ahead=st.sampled_from([-400, 0, 400]))
    def start(self, sends_keys, ahead):
        self.sends_keys = sends_keys
        self.clock.ahead = ahead
        self.log_in()

    @precondition(lambda self: self.access is None)
    @rule()
    def log_in(self):
        pair = flows.log_in(self.user, nobody)
        self.key = pair.device.pk
        self.row = Row(next(self.numbers), self.clock.now)
        self.lowest = 1
        self.snapshot = None
        self.was_put_back = self.was_abused = False
        self.minted = {}
        self.held = []
        self.pending = None
        self.asked_at = self.heard_at = self.signed_in_at = self.clock.now
        self.save(self.read(pair))

    # Requests

    def ask(self, flow, token, *, crossing=None):
        """What the flow answers, and whether `crossing` happened between its reading and its
        first write."""
        statements, failures, crossed = [], [], []

        def watch(execute, sql, params, many, context):
            # Not those of what crosses, nor those that count a token ahead of its device.
            if crossed == ["now"] or "tokens_figure" in sql:
                return execute(sql, params, many, context)
            statements.append(sql.split()[0])
            if statements[-1] == "UPDATE" and crossing and not crossed:
                crossed.append("now")
                try:
                    crossing()
                except AssertionError as failure:  # not here, inside of a transaction
                    failures.append(failure)
                crossed[0] = "done"
            return execute(sql, params, many, context)

        with connection.execute_wrapper(watch):
            try:
                answer = flow(token.jwt, nobody)
            except flows.Refused as refusal:
                answer = refusal.code
        for failure in failures:
            raise failure
        # A reuse queues a mail with its end, and makes the account forget the networks it knows.
        more = {"SAVEPOINT", "INSERT", "RELEASE", "DELETE"}
        may_be_reuse = answer == "refresh_invalid" or crossed
        assert set(statements) <= {"SELECT", "UPDATE", *(more if may_be_reuse else ())}
        self.writes = statements.count("UPDATE")
        assert self.writes <= 1 + bool(crossed)
        return answer, bool(crossed)

    def send_use(self, token, crossing=None):
        """An answer to an access token: "" or the code of a refusal."""
        now = self.clock.now
        before = copy.copy(self.row)
        code, writes = before.use(token, now)
        answer, crossed = self.ask(flows.authenticate, token, crossing=writes and crossing)
        if code:
            assert answer == code
            assert self.writes == 0 or code == "device_revoked"
        else:
            assert answer.pk == self.key
            assert self.writes == writes
        if writes and not self.has_moved(before, token):
            self.row.note_use(token, now)
        if crossing and not crossed:
            crossing()
        return code

    def has_moved(self, before, token):
        """Whether what crossed a use leaves it nothing to note."""
        if self.row.revoked:
            return True
        if before.confirms(token):
            return self.row.generation != before.generation
        return self.row.last_seen_at != before.last_seen_at

    def send_refresh(self, token, key, crossing=None):
        """An answer to a refresh token: a pair, or the code of a refusal."""
        row, now = self.row, self.clock.now
        foreseen = copy.copy(row).refresh(token, key, now)
        is_written = foreseen == "refresh_invalid" or not foreseen
        answer, crossed = self.ask(
            partial(self.flow_of, key), token, crossing=is_written and crossing
        )
        if crossed and foreseen == "refresh_invalid":
            # What is seen as a reuse stays one, whatever else happens.
            code, row.revoked = foreseen, row.revoked or "reuse"
        else:
            former, was_revoked = row.generation, row.revoked
            code = row.refresh(token, key, now)
            assert was_revoked or bool(row.revoked) == (code == "refresh_invalid")
        if code:
            assert answer == code
            assert self.writes == 0 or code in {"refresh_invalid", "device_revoked"} or crossed
        else:
            assert isinstance(answer, flows.Pair), answer
            assert self.writes == crossed or row.generation == former + 1
            answer = self.read(answer)
        if crossing and not crossed:
            crossing()
        return answer

    @staticmethod
    def flow_of(key, jwt, client):
        return flows.refresh(jwt, client, attempt=key)

    def read(self, pair):
        """The tokens of a pair. One generation has one refresh token, to the byte."""
        refresh, access = pair.refresh_token, pair.access_token
        claims = signing.verify(refresh, signing.REFRESH)
        assert claims.gen == self.row.generation
        assert claims.gen == signing.verify(access, signing.ACCESS).gen
        known = self.minted.setdefault((self.row.handle, claims.gen), refresh)
        assert known == refresh
        assert list(self.minted.values()).count(refresh) == 1
        exp = signing.verify(access, signing.ACCESS).exp
        read = partial(Token, handle=self.row.handle, generation=claims.gen)
        return read(jwt=access, exp=exp), read(jwt=refresh, exp=claims.exp)

    # What the client keeps

    def save(self, tokens):
        self.access, self.stored = tokens
        self.held.append(self.stored)
        self.renewed_at = self.asked_at
        self.pending, self.is_waiting = None, False

    def receive(self, answer):
        if isinstance(answer, str):
            self.sign_out(answer)
        else:
            self.heard_at = self.clock.now
            self.save(answer)

    def sign_out(self, code):
        """Forget the tokens, which must have a reason."""
        assert code in self.excuses(), f"signed out by {code}"
        self.access = None

    def excuses(self):
        """The refusals that a client which keeps the rules may meet."""
        now = self.clock.now
        if self.row.revoked in {"staff", "logout"}:
            yield "device_revoked"
        if now - self.signed_in_at >= LIFETIME:
            yield "device_expired"
        if now - self.signed_in_at > LIFETIME - timedelta(seconds=1):
            yield "token_expired"  # its `exp` is in whole seconds
        if now - self.heard_at > IDLE - TOUCH:
            yield "device_idle"
        if now - self.renewed_at > IDLE - timedelta(seconds=1):
            # An answer given again is the same to the byte and moves nothing, so its token and
            # the silence of the row end together, however late it was heard.
            yield from ("token_expired", "device_idle")
        if self.was_put_back:
            yield from ("token_invalid", "token_expired", "device_idle")
        if self.row.revoked == "reuse" and not self.sends_keys:
            # An answer was lost, and the grace has passed.
            yield from ("device_revoked", "refresh_invalid")

    def new_key(self):
        """Keep the key beside the token until an answer comes."""
        if not self.is_waiting:
            self.is_waiting = True
            self.pending = f"the key of attempt {next(self.numbers)}" if self.sends_keys else None
            self.asked_at = self.clock.now
        return self.pending

    # What happens

    is_signed_in = precondition(lambda self: self.access is not None)

    @is_signed_in
    @rule()
    def use(self):
        self.use_now()

    def use_now(self, crossing=None):
        code = self.send_use(self.access, crossing)
        if not code:
            self.heard_at = self.clock.now
        elif code != "token_expired" and self.access:
            self.sign_out(code)

    @is_signed_in
    @rule(arrives=st.booleans(), is_heard=st.booleans())
    def refresh(self, arrives, is_heard):
        self.refresh_now(arrives=arrives, is_heard=is_heard)

    def refresh_now(self, *, arrives=True, is_heard=True, crossing=None):
        key = self.new_key()
        if not arrives:
            return
        answer = self.send_refresh(self.stored, key, crossing)
        if is_heard and self.access:
            self.receive(answer)

    @precondition(lambda self: self.access and not self.is_waiting)
    @rule(
        seconds=st.sampled_from([0, 1, 29.9, 30]),
        shares_key=st.booleans(),
        uses=st.booleans(),
        heard=st.sampled_from(["first", "second", "both"]),
    )
    def refresh_in_two_tabs(self, seconds, shares_key, uses, heard):
        """Without the lock, but within the grace, and with no answer outstanding: both have read
        the storage before."""
        if self.stored.exp <= (self.clock.now + GRACE).timestamp():
            return
        token, key = self.stored, self.new_key()
        first = self.send_refresh(token, key)
        if heard != "second":
            self.receive(first)
            if self.access and uses:
                self.use()
        self.clock.now += timedelta(seconds=seconds)
        other = key if shares_key or not self.sends_keys else f"{key} of the other tab"
        second = self.send_refresh(token, other)
        if heard != "first" and self.access:
            self.receive(second)

    @is_signed_in
    @rule(crossing=st.sampled_from(["refresh", "revoke", "use"]))
    def use_crossed_by(self, crossing):
        """Something else happens after the row was read and before it is written."""
        self.use_now(
            {"refresh": self.refresh_now, "revoke": self.revoke, "use": self.use}[crossing]
        )

    @precondition(lambda self: self.access and not self.is_waiting)
    @rule(crossing=st.sampled_from(["refresh", "revoke", "use"]))
    def refresh_crossed_by(self, crossing):
        crossings = {"refresh": self.refresh_now, "revoke": self.revoke, "use": self.use}
        self.refresh_now(crossing=crossings[crossing])

    @is_signed_in
    @rule(refreshes=st.integers(0, 2), one_is_late=st.booleans())
    def reauthenticate(self, refreshes, one_is_late):
        """The password is checked while another tab refreshes, once perhaps on both sides."""
        code, _ = copy.copy(self.row).use(self.access, self.clock.now)
        if code:
            return
        self.use()
        device = flows.authenticate(self.access.jwt, nobody)
        for _ in range(refreshes):
            self.refresh_now()
        if one_is_late:
            self.send_refresh(self.stored, self.new_key(), partial(self.renew, device))
        else:
            self.renew(device)

    def renew(self, device):
        if self.row.revoked:  # by a refresh of the other tab, which had no key
            with pytest.raises(flows.Refused):
                flows.reauthenticate(device, self.user)
            return
        handle = flows.reauthenticate(device, self.user)
        self.row.handle = next(self.numbers)
        self.row.advance(None, self.clock.now)
        self.asked_at = self.clock.now
        self.save(self.read(flows.pair_of(device, handle)))

    def revoke(self):
        flows.revoke_for_user(self.user, IssuedToken.objects.filter(pk=self.key), by=None)
        if not self.row.state(self.clock.now):
            self.row.revoked = "staff"

    @is_signed_in
    @rule(by=st.sampled_from(["staff", "owner"]), is_noticed=st.booleans())
    def end(self, by, is_noticed):
        code, _ = copy.copy(self.row).use(self.access, self.clock.now)
        if by == "staff":
            self.revoke()
        elif not code:
            self.use()
            flows.log_out(IssuedToken.objects.get(pk=self.key))
            self.row.revoked = "logout"
        if is_noticed:
            self.use()

    @rule(seconds=st.sampled_from([0.001, 1, 29, 31, 60, 240, 300, 3600, 86400, 6 * 86400]))
    def wait(self, seconds):
        self.clock.now += timedelta(seconds=seconds)

    @rule(
        moment=st.sampled_from(["grace", "touch", "access", "refresh", "idle", "end"]),
        ticks=st.sampled_from([-1, 0, 1]),
    )
    def wait_until(self, moment, ticks):
        """To the very moment at which something ends, one tick before it or after it."""
        moments = {
            "grace": self.row.rotated_at + GRACE,
            "touch": self.row.last_seen_at + TOUCH,
            "access": self.access and datetime.fromtimestamp(self.access.exp, UTC),
            "refresh": datetime.fromtimestamp(self.stored.exp, UTC),
            "idle": self.row.idle_at,
            "end": self.row.expires_at,
        }
        if moments[moment]:
            self.clock.now = max(self.clock.now, moments[moment] + ticks * TICK)

    @is_signed_in
    @rule(days=st.integers(1, 8))
    def live_on(self, days):
        """Some quiet days, with a refresh and a use every other day."""
        for _ in range(0, days, 2):
            self.clock.now += timedelta(days=2)
            if self.access:
                self.refresh_now()
            if self.access:
                self.use_now()

    @rule()
    def back_up(self):
        self.snapshot = copy.copy(self.row), self.columns()

    @precondition(lambda self: self.snapshot)
    @rule()
    def put_back(self):
        """The database is restored: what was signed since is ahead of it."""
        row, columns = self.snapshot
        self.row = copy.copy(row)
        IssuedToken.objects.filter(pk=self.key).update(**columns)
        self.lowest = self.row.generation
        self.was_put_back = True
        for handle, generation in list(self.minted):
            if handle != self.row.handle or generation > self.row.generation:
                del self.minted[handle, generation]

    @precondition(lambda self: self.row and self.row.revoked)
    @rule(age=st.integers(0, 3))
    def try_what_was_held(self, age):
        """Nothing that a device ever held lets anybody in once it has ended."""
        assert isinstance(self.send_refresh(self.held[-1 - age % len(self.held)], None), str)
        if self.access:
            assert self.send_use(self.access)

    # What is always true

    def columns(self):
        return IssuedToken.objects.filter(pk=self.key).values(*COLUMNS).get()

    @invariant()
    def the_row_is_what_the_rules_say(self):
        if self.row is None:
            return
        columns = self.columns()
        expected = self.row.columns()
        assert {name: columns[name] for name in expected} == expected
        assert bool(columns["revoked_at"]) == bool(columns["revoked_reason"])
        assert columns["generation"] >= self.lowest
        self.lowest = columns["generation"]


# Whoever has a copy


class Thieves(HonestClients):
    """Somebody copies refresh tokens, at any time, and uses them, at any time."""

    def log_in(self):
        super().log_in()
        self.loot = []
        self.stolen_access = None

    log_in = precondition(lambda self: self.access is None)(rule()(log_in))

    def excuses(self):
        yield from super().excuses()
        if self.was_abused:
            yield from ("device_revoked", "refresh_invalid", "token_expired")

    @rule(age=st.integers(0, 3))
    def steal(self, age):
        self.loot.append(self.held[-1 - age % len(self.held)])

    @precondition(lambda self: self.loot)
    @rule(
        which=st.integers(0, 3),
        key=st.sampled_from([None, "the key of the thief", "copied"]),
        waits_for_use=st.booleans(),
    )
    def use_the_copy(self, which, key, waits_for_use):
        key = self.pending if key == "copied" else key
        token = self.loot[-1 - which % len(self.loot)]
        self.abuse(token, key, uses=not waits_for_use)

    def abuse(self, token, key, *, uses):
        self.was_abused = True
        answer = self.send_refresh(token, key)
        if isinstance(answer, str):
            return
        self.stolen_access, refresh = answer
        self.loot.append(refresh)
        if uses:
            self.send_use(self.stolen_access)

    @precondition(lambda self: self.stolen_access)
    @rule()
    def use_stolen_access(self):
        self.send_use(self.stolen_access)

    @precondition(lambda self: self.access and not self.was_put_back)
    @rule(
        age=st.integers(0, 2),
        thief_is_first=st.booleans(),
        key=st.sampled_from([None, "the key of the thief"]),
    )
    def both_go_on(self, age, thief_is_first, key):
        """Outside the grace, it comes out, whoever comes first and whether or not either of them
        uses what it gets."""
        self.steal(age)
        if not self.both_can():
            return
        for turn in range(4):
            self.clock.now += GRACE + TICK
            if (turn + thief_is_first) % 2:
                self.abuse(self.loot[-1], key, uses=False)
            elif self.access:
                self.refresh_now()
        assert self.row.revoked == "reuse"

    def both_can(self):
        """Whether both hold tokens that four more turns leave young enough."""
        soon = self.clock.now + 5 * GRACE
        tokens = [self.stored, self.loot[-1]]
        return (
            not self.row.state(soon)
            and all(soon.timestamp() < token.exp for token in tokens)
            and all(token.handle == self.row.handle for token in tokens)
        )


@pytest.mark.asvs("10.4.5")
@pytest.mark.parametrize("machine", [HonestClients, Thieves])
@pytest.mark.parametrize("share", [0.5, pytest.param(2, marks=pytest.mark.slow)])
def test_every_history_keeps_the_rules(machine, share, alice, clock, settings, caplog):
    """Of as many histories as Hypothesis tries examples, a share. There are thousands with
    `--hypothesis-profile=thorough`."""
    caplog.set_level(logging.ERROR, "tokens")  # or it keeps every line of every history
    settings.MAX_DEVICES_PER_USER = 1000
    histories = hypothesis_settings(
        max_examples=int(share * hypothesis_settings().max_examples),
        stateful_step_count=50,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(partial(machine, alice, clock), settings=histories)
