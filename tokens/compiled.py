"""The one query of every request, and the count of every sign-in, compiled once.

Django builds and compiles a query anew each time it runs, which for the four states of a device
takes ten times as long as the database's answer. Here the SQL and the names of its columns are
taken from the queryset itself, once for each database, so that model and states stay defined in
one place.
"""

import functools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, router
from django.db.models import Model
from django.db.models.base import ModelState

from accounts.models import User
from tokens.models import IssuedToken

BINARY = 1  # psycopg.pq.Format

# By Django's name of a type: how to select a column of it, and what to make of the value. Both
# drivers would parse times that come as text in Python, which takes longer than the query.
READING: dict[str, dict[str, tuple[str, Callable[[Any], Any] | None]]] = {
    "sqlite": {
        "DateTimeField": ("{} || '+00:00'", datetime.fromisoformat),
        "UUIDField": ("{}", uuid.UUID),
    },
    "postgresql": {"GenericIPAddressField": ("HOST({})", None)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL with its parameters but for the `hash`, the positions in a row whose values need
    converting, and the attributes that a row holds: those of the device, then those of its user."""

    sql: str
    parameters: dict[str, Any]
    converters: list[tuple[int, Callable[[Any], Any]]]
    device: list[str]
    user: list[str]


def find_device(digest: bytes) -> IssuedToken | None:
    """The device whose `hash` is `digest`, as `with_state()` would give it, attribute by attribute.

    Like unpickling, and unlike the ORM, this calls no `__init__` and sends no signal of it.
    """
    alias = router.db_for_read(IssuedToken)
    statement = _compile(alias)
    with connections[alias].cursor() as cursor:
        if cursor.db.vendor == "postgresql":
            cursor.cursor.format = BINARY
        cursor.execute(statement.sql, {**statement.parameters, "hash": digest})
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for position, convert in statement.converters:
        if values[position] is not None:
            values[position] = convert(values[position])
    device = _instance(IssuedToken, alias, statement.device, values)
    user = _instance(User, alias, statement.user, values[len(statement.device) :])
    device._state.fields_cache["user"] = user
    return device


def count_live(user_id: int) -> int:
    """How many devices of the user are `live()`."""
    alias = router.db_for_write(IssuedToken)
    sql, parameters = _compile_count(alias)
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, {**parameters, "user": user_id})
        [count] = cursor.fetchone()
    return count


def _instance(model: type[Model], alias: str, names: list[str], values: list[Any]) -> Any:
    """An instance as if read from the database `alias`. Values beyond the names are left out."""
    state = ModelState()
    state.db, state.adding = alias, False
    attributes = dict(zip(names, values, strict=False))
    attributes["_state"] = state
    instance = model.__new__(model)
    instance.__dict__ = attributes
    return instance


@functools.cache
def _compile(alias: str) -> Statement:
    devices = IssuedToken.objects.with_state().filter(hash=b"")
    compiler = devices.query.get_compiler(alias)
    sql, (*values, _) = compiler.as_sql()
    parameters = _named(values)
    annotations = {position: name for name, position in compiler.annotation_col_map.items()}
    reading = READING[compiler.connection.vendor]
    names, columns, converters = [], [], []
    for position, (expression, (column, _), _) in enumerate(compiler.select):
        names.append(annotations.get(position) or expression.target.attname)
        kind = expression.output_field.get_internal_type()
        selected, convert = reading.get(kind, ("{}", None))
        columns.append(selected.format(column))
        if convert:
            converters.append((position, convert))
    (user,) = compiler.klass_info["related_klass_infos"]
    end_of_device = user["select_fields"][0]
    return Statement(
        sql=_with_names(_with_columns(sql, columns), [*parameters, "hash"]),
        parameters=parameters,
        converters=converters,
        device=names[:end_of_device],
        user=names[end_of_device:],
    )


@functools.cache
def _compile_count(alias: str) -> tuple[str, dict[str, Any]]:
    devices = IssuedToken.objects.using(alias).filter(user_id=0).live()
    sql, (_, *values) = devices.query.get_compiler(alias).as_sql()
    parameters = _named(values)
    return _with_names(_with_columns(sql, ["COUNT(*)"]), ["user", *parameters]), parameters


def _with_columns(sql: str, columns: list[str]) -> str:
    """The SQL with these columns in place of its own."""
    own, _, _ = sql.partition(" FROM ")
    return "SELECT " + ", ".join(columns) + sql.removeprefix(own)


def _named(values: Sequence[Any]) -> dict[str, Any]:
    return {f"p{number}": value for number, value in enumerate(values)}


def _with_names(sql: str, names: list[str]) -> str:
    """The SQL with its parameters by name: where they go by position, Django looks through the SQL
    with a regular expression each time."""
    return sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in names)
