"""The statements about devices that requests, refreshes and sign-ins run. Each is compiled once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, router
from django.db.models import Case, Count, Max, Min, Q, Value, When
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import Parameter
from accounts.models import User
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.models.states import ENDED

HOUR = timedelta(hours=1)
ALIKE_FOR = timedelta(days=30)  # a similar device that was seen within this time is known
# More than the live and recent devices of a user can have, so that all of these are counted.
MAX_PLACES = 1_200
READ = ("id", "generation", "last_seen_at")  # fields that the condition of an UPDATE may name


class Others(NamedTuple):
    """The devices of a user at a sign-in.

    `live` of them are live, and `recent` signed in during the last hour, the first of these at
    `first_recent`. `places` are those of devices like the new one: whether it is forgotten, and the
    location, first and last address.
    """

    live: int
    recent: int
    first_recent: datetime | None
    places: list[tuple[int, str, str | None, str | None]]
    is_any: bool


def find_device(digest: bytes) -> IssuedToken | None:
    """The device whose `hash` is `digest`, or None. It has all attributes that `with_state()` sets.

    Its user acts on it: staff may do there what the passkey that they used on it allows.
    As of all instances of compiled statements, neither `pre_init` nor `post_init` is sent.
    """
    device = _first(compiled.select(router.db_for_write(IssuedToken), _found), hash=digest)
    if device is not None:
        user = device._state.fields_cache["user"]  # without the calls of a descriptor
        user.acts_at = device.now
        user.proven_at = device.passkey_at if device.passkey_vouched else None
    return device


def find_device_of(user_id: int, key: UUID) -> IssuedToken | None:
    """The user's device with that id, or None. It has the same attributes."""
    statement = compiled.select(router.db_for_write(IssuedToken), _found_of)
    return _first(statement, user=user_id, key=_key(statement.alias, key))


class DevicesOf:
    """The devices of a person in a state, or with "all" in any, for a paginator.

    The `current` one comes first, then the most recently seen. They have all attributes that
    `with_state()` sets.
    """

    def __init__(self, user_id: int, state: str, current: IssuedToken | None) -> None:
        self.alias, self.state = router.db_for_write(IssuedToken), state
        key = current and _key(self.alias, current.pk)
        self.user, self.current = {"user": user_id}, {"current": key}

    def count(self) -> int:
        [[found]] = compiled.count(self.alias, _in_state, self.state).fetch(**self.user)
        return found

    def __getitem__(self, places: slice) -> list[IssuedToken]:
        rows = {"offset": places.start, "limit": places.stop - places.start}
        statement = compiled.page(self.alias, _listed, self.state)
        found = statement.fetch(**self.user, **self.current, **rows)
        return [_device(statement, values) for values in found]


def update_if(
    build: Callable[[], IssuedTokenQuerySet], device: IssuedToken, values: dict[str, Any]
) -> bool:
    """Write `values` to the row of the device if `build()` finds it. Return whether it did.

    `build()` may have the fields in READ as parameters; their values are those of `device`. If the
    row was found, the device gets the values too. Otherwise it keeps what was read.
    """
    alias = router.db_for_write(IssuedToken)
    given = {name: getattr(device, name) for name in READ}
    given |= {f"new_{name}": value for name, value in values.items()}
    prepared = {
        name: _field(name.removeprefix("new_")).get_db_prep_save(value, connections[alias])
        for name, value in given.items()
    }
    if not compiled.update(alias, build, *values).execute(**prepared):
        return False
    for name, value in values.items():
        setattr(device, name, value)
    return True


def look_at_devices(user_id: int, browser: str, os: str) -> Others:
    """Count the user's devices, and find those on this client and system. One SELECT."""
    statement = compiled.select(router.db_for_write(IssuedToken), _counted_by_place)
    rows = statement.fetch(user=user_id, browser=browser, os=os)
    firsts = [first for *_, first in rows if first]
    return Others(
        live=sum([live for *_, live, _, _, _ in rows]),
        recent=sum([recent for *_, recent, _, _ in rows]),
        first_recent=min(firsts, default=None),
        places=[(*place,) for *place, _, _, alike, _ in rows if alike],
        is_any=bool(rows),
    )


def _found() -> IssuedTokenQuerySet:
    return IssuedToken.objects.with_state().filter(hash=Parameter("hash"))


def _found_of() -> IssuedTokenQuerySet:
    devices = IssuedToken.objects.with_state()
    return devices.filter(user_id=Parameter("user"), pk=Parameter("key"))


def _in_state(state: str) -> IssuedTokenQuerySet:
    devices = IssuedToken.objects.filter(user_id=Parameter("user"))
    return devices if state == "all" else devices.in_state(state)


def _listed(state: str) -> IssuedTokenQuerySet:
    current_first = Case(When(pk=Parameter("current"), then=Value(0)), default=Value(1))
    return _in_state(state).with_state().order_by(current_first, "-last_seen_at", "-pk")


def _counted_by_place() -> Any:
    """A row for each place of the user's devices, those with live and recent ones first."""
    live = ~reduce(or_, ENDED.values())
    recent = Q(created_at__gt=Now() - HOUR)
    alike = Q(browser=Parameter("browser"), os=Parameter("os"), last_seen_at__gt=Now() - ALIKE_FOR)
    counts = {
        "live": Count("pk", filter=live),
        "recent": Count("pk", filter=recent),
        "alike": Count("pk", filter=alike),
        "first_recent": Min("created_at", filter=recent),
    }
    is_forgotten = Case(When(forgotten_at=None, then=Value(0)), default=Value(1))
    devices = IssuedToken.objects.filter(user_id=Parameter("user"))
    places = ("is_forgotten", "location", "ip_address", "last_ip")
    rows = devices.annotate(is_forgotten=is_forgotten).values(*places)
    rows = rows.annotate(**counts, newest=Max("created_at"))
    return rows.order_by("-live", "-recent", "-newest").values_list(*places, *counts)[:MAX_PLACES]


def _field(name: str) -> Any:
    return IssuedToken._meta.get_field(name)


def _key(alias: str, id: UUID) -> Any:
    """The id as the database stores it."""
    return _field("id").get_db_prep_value(id, connections[alias])


def _first(statement: compiled.Statement, **values: Any) -> IssuedToken | None:
    rows = statement.fetch(**values)
    return _device(statement, rows[0]) if rows else None


def _device(statement: compiled.Statement, values: list[Any]) -> IssuedToken:
    """The device, and its user, of a row of a SELECT of `with_state()`."""
    first_of_user = statement.related
    names = statement.names
    device = compiled.instance(IssuedToken, statement.alias, names[:first_of_user], values)
    user = compiled.instance(User, statement.alias, names[first_of_user:], values[first_of_user:])
    device._state.fields_cache["user"] = user
    return device
