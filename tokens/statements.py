"""The statements about devices that requests, refreshes and sign-ins run. Each is compiled once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import connections, router
from django.db.models import Count, Min, Model, Q
from django.db.models.base import ModelState
from django.db.models.functions import Now

from accounts import compiled
from accounts.compiled import Parameter
from accounts.models import User
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.models.states import ENDED

HOUR = timedelta(hours=1)
READ = ("id", "generation", "last_seen_at")  # fields that the condition of an UPDATE may name


class Counts(NamedTuple):
    """How many of a user's devices are live, and how many signed in during the last hour.

    `first_recent` is when the first of those signed in, or None.
    """

    live: int
    recent: int
    first_recent: datetime | None


def find_device(digest: bytes) -> IssuedToken | None:
    """The device whose `hash` is `digest`, or None. It has all attributes that `with_state()` sets.

    Unlike the ORM, this does not call `__init__`, so `pre_init` and `post_init` are not sent.
    """
    statement = compiled.select(router.db_for_write(IssuedToken), _found)
    rows = statement.fetch(hash=digest)
    if not rows:
        return None
    [values] = rows
    first_of_user = statement.related
    names = statement.names
    device = _instance(IssuedToken, statement.alias, names[:first_of_user], values)
    user = _instance(User, statement.alias, names[first_of_user:], values[first_of_user:])
    device._state.fields_cache["user"] = user
    return device


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


def count_devices(user_id: int) -> Counts:
    """Count the user's devices. One SELECT."""
    rows = compiled.select(router.db_for_write(IssuedToken), _counted).fetch(user=user_id)
    return Counts(*rows[0]) if rows else Counts(0, 0, None)


def _found() -> IssuedTokenQuerySet:
    return IssuedToken.objects.with_state().filter(hash=Parameter("hash"))


def _counted() -> Any:
    live = ~reduce(or_, ENDED.values())
    recent = Q(created_at__gt=Now() - HOUR)
    counts = {
        "live": Count("pk", filter=live),
        "recent": Count("pk", filter=recent),
        "first_recent": Min("created_at", filter=recent),
    }
    devices = IssuedToken.objects.filter(user_id=Parameter("user")).order_by()
    return devices.values("user_id").annotate(**counts).values_list(*counts)


def _field(name: str) -> Any:
    return IssuedToken._meta.get_field(name)


def _instance(model: type[Model], alias: str, names: list[str], values: list[Any]) -> Any:
    """A model instance as if read from the database `alias`. Surplus values are ignored."""
    state = ModelState()
    state.db, state.adding = alias, False
    attributes = dict(zip(names, values, strict=False))
    attributes["_state"] = state
    instance = model.__new__(model)
    instance.__dict__ = attributes
    return instance
