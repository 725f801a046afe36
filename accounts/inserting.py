"""An INSERT that is compiled once for each model."""

import functools
import uuid
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import AutoField, DateTimeField, FileField, Model
from django.db.models.signals import post_save, pre_save

from accounts.compiled import Statement, is_djangos

# What the drivers store as the ORM would, by the types of Django's own fields.
_AS_IT_IS = {
    **dict.fromkeys(["CharField", "SlugField", "TextField"], str),
    **dict.fromkeys(["IntegerField", "PositiveIntegerField"], int),
    "BinaryField": bytes,
    "BooleanField": bool,
}
_OF_POSTGRESQL = {"DateTimeField": datetime, "GenericIPAddressField": str, "UUIDField": uuid.UUID}
AS_IT_IS = {"sqlite": _AS_IT_IS, "postgresql": _AS_IT_IS | _OF_POSTGRESQL}


def insert(alias: str, made: Model) -> None:
    """Insert the row of a new instance, as `save(force_insert=True)` does, with its signals.

    `save()` itself inserts a row whose statement cannot be known beforehand.
    """
    model, database, values = type(made), connections[alias], {}
    compiled = _insert(alias, model)
    if compiled is None:
        made.save(force_insert=True, using=alias)
        return
    statement, fields = compiled
    times: dict[Any, Any] = {}  # most of a row are one time, and SQLite's are slow to write
    pre_save.send(model, instance=made, raw=False, using=alias, update_fields=None)
    for name, kind, as_it_is in fields:
        value = kind.pre_save(made, True) if as_it_is is None else made.__dict__[name]
        if as_it_is and (value is None or type(value) is as_it_is):
            values[name] = value
        elif type(kind) is not DateTimeField:
            values[name] = kind.get_db_prep_save(value, database)
        else:
            if value not in times:
                times[value] = kind.get_db_prep_save(value, database)
            values[name] = times[value]
    statement.execute(**values)
    made._state.db, made._state.adding = alias, False
    post_save.send(model, instance=made, created=True, raw=False, using=alias, update_fields=None)


@functools.cache
def _insert(alias: str, model: type[Model]) -> tuple[Statement, list[tuple[str, Any, Any]]] | None:
    """An INSERT of all columns, and for each the attribute, the field and its type of AS_IT_IS.

    None if the database makes the value of a column, and for a model with a parent.
    """
    fields: list[Any] = list(model._meta.concrete_fields)
    for kind in fields:
        is_given = not kind.generated and (kind.has_default() or not kind.has_db_default())
        if kind.model is not model or not is_given or isinstance(kind, AutoField):
            return None
    quote = connections[alias].ops.quote_name
    columns = ", ".join(quote(kind.column) for kind in fields)
    places = ", ".join(f"%({kind.attname})s" for kind in fields)
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    statement = Statement(alias=alias, sql=sql, parameters={})
    return statement, [(kind.attname, kind, _as_it_is(kind, alias)) for kind in fields]


def _as_it_is(kind: Any, alias: str) -> type | None:
    """The type of AS_IT_IS; None if the field may compute its value when it is saved."""
    is_stamp = getattr(kind, "auto_now", False) or getattr(kind, "auto_now_add", False)
    if is_stamp or isinstance(kind, FileField) or not is_djangos(kind):
        return None
    return AS_IT_IS[connections[alias].vendor].get(kind.get_internal_type(), type(None))
