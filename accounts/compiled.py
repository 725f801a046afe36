"""Querysets that are compiled once.

Django compiles a query each time it runs, and this takes longer than the database's answer. Here
the SQL is taken from the queryset, once for each database. So models and conditions stay defined
in one place. A value that differs from run to run is a `Parameter` of the queryset. The caller
gives it by name, in the form that the database stores.
"""

import functools
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import (
    BooleanField,
    Count,
    Expression,
    Model,
    QuerySet,
)
from django.db.models.base import ModelState
from django.db.models.expressions import Col
from django.db.models.sql import DeleteQuery, UpdateQuery

BINARY = 1  # psycopg.pq.Format.BINARY

# How to read columns of a type, which Django names: the SQL that selects such a column, and the
# function that converts its value. Otherwise times come as text, and Django parses them in Python.
# That takes longer than the query.
READING: dict[str, dict[str, tuple[str, Callable[[Any], Any] | None]]] = {
    "sqlite": {
        "DateTimeField": ("{} || '+00:00'", datetime.fromisoformat),
        "UUIDField": ("{}", uuid.UUID),
    },
    "postgresql": {"GenericIPAddressField": ("HOST({})", None)},
}
# What PostgreSQL sends in binary reads as the ORM reads it for these types of Django's own fields.
BINARY_TYPES = {
    *("AutoField", "BigAutoField", "SmallAutoField", "ForeignKey", "BooleanField", "BinaryField"),
    *("IntegerField", "BigIntegerField", "SmallIntegerField", "PositiveIntegerField"),
    *("CharField", "SlugField", "TextField", "DateTimeField", "UUIDField"),
    "GenericIPAddressField",
}
Build = Callable[..., QuerySet[Any, Any]]


class Parameter(Expression):
    """Stands in a queryset for the value that each run gives by this name."""

    def __init__(self, name: str, output_field: Any = None) -> None:
        super().__init__(output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]  # `_with_names` finds it among the values


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL for the database `alias`, with the parameters that are the same in each run.

    The other fields are for a SELECT. `names` are its columns. `converters` has the position of
    each column to convert. `slow_converters` has those of columns that only the ORM's converters
    read rightly, with the expression that these are called with. `related` is the position of the
    first column of a related model.
    """

    alias: str
    sql: str
    parameters: dict[str, Any]
    names: list[str] = field(default_factory=list)
    converters: list[tuple[int, Callable[[Any], Any]]] = field(default_factory=list)
    slow_converters: list[tuple[int, Any, list[Any]]] = field(default_factory=list)
    is_binary: bool = True
    related: int | None = None

    def fetch(self, **values: Any) -> list[list[Any]]:
        """Run a SELECT with these values. Return its rows, converted."""
        cursor = self._cursor()
        if cursor.db.vendor == "postgresql" and self.is_binary:
            cursor.cursor.format = BINARY
        cursor.execute(self.sql, {**self.parameters, **values})
        rows = [list(row) for row in cursor.fetchall()]
        for position, convert in self.converters:
            for row in rows:
                if row[position] is not None:
                    row[position] = convert(row[position])
        for position, expression, convert_all in self.slow_converters:
            for row in rows:
                for convert in convert_all:
                    row[position] = convert(row[position], expression, cursor.db)
        return rows

    def execute(self, **values: Any) -> int:
        """Run an UPDATE or a DELETE with these values. Return how many rows it changed."""
        cursor = self._cursor()
        cursor.execute(self.sql, {**self.parameters, **values})
        return cursor.rowcount

    def _cursor(self) -> Any:
        """It closes as it goes out of use, all read. To close it by name takes ten calls."""
        return connections[self.alias].cursor()


@functools.cache
def select(alias: str, build: Build, *args: Any) -> Statement:
    """The SELECT of the queryset `build(*args)`."""
    compiler = build(*args).query.get_compiler(alias)
    sql, values = compiler.as_sql()
    annotations = {position: name for name, position in compiler.annotation_col_map.items()}
    expressions = [expression for expression, _, _ in compiler.select]
    names, columns, converters = [], [], []
    slow = compiler.get_converters(expressions)
    for position, (expression, (column, _), _) in enumerate(compiler.select):
        names.append(annotations.get(position) or expression.target.attname)
        selected, convert = _reading(expression, compiler.connection.vendor)
        columns.append(selected.format(column))
        if convert:
            converters.append((position, convert))
        if convert or selected != "{}" or _is_read_by_driver(expression):
            slow.pop(position, None)
    related = (compiler.klass_info or {}).get("related_klass_infos")
    sql, parameters = _with_names(_with_columns(sql, columns), values)
    return Statement(
        alias=alias,
        sql=sql,
        parameters=parameters,
        names=names,
        converters=converters,
        slow_converters=[
            (position, expression, convert_all)
            for position, (convert_all, expression) in slow.items()
        ],
        is_binary=all(map(_is_binary, expressions)),
        related=related[0]["select_fields"][0] if related else None,
    )


@functools.cache
def page(alias: str, build: Build, *args: Any) -> Statement:
    """The SELECT of `build(*args)`, from the parameter `offset` on, and at most `limit` rows."""
    statement = select(alias, build, *args)
    return replace(statement, sql=f"{statement.sql} LIMIT %(limit)s OFFSET %(offset)s")


@functools.cache
def count(alias: str, build: Build, *args: Any) -> Statement:
    """A SELECT that counts the rows of the queryset `build(*args)`."""
    sql, values = build(*args).query.get_compiler(alias).as_sql()
    sql, parameters = _with_names(_with_columns(sql, ["COUNT(*)"]), values)
    return Statement(alias=alias, sql=sql, parameters=parameters)


@functools.cache
def update(alias: str, build: Build, *names: str) -> Statement:
    """An UPDATE of the rows of `build()`. Each named field is set to the parameter `new_<name>`."""
    query: Any = build().query.chain(UpdateQuery)
    query.add_update_values({name: Parameter(f"new_{name}") for name in names})
    sql, parameters = _with_names(*query.get_compiler(alias).as_sql())
    return Statement(alias=alias, sql=sql, parameters=parameters)


@functools.cache
def update_returning(
    alias: str, build: Build, changes: Callable[[], dict[str, Any]], *args: Any
) -> Statement:
    """An UPDATE of the rows of `build(*args)`, a `values_list()`, to the values of `changes()`.

    Its `fetch()` returns the new values. Like `select_for_update(no_key=True)` it locks the rows.
    """
    reading, rows = select(alias, build, *args), build(*args)
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(changes())
    sql, parameters = _with_names(*query.get_compiler(alias).as_sql())
    columns = reading.sql.partition(" FROM ")[0].removeprefix("SELECT ")
    # SQLite names no types in RETURNING, by which its driver would read the booleans.
    fields = [rows.model._meta.get_field(name) for name in reading.names]
    booleans = [(at, bool) for at, kind in enumerate(fields) if type(kind) is BooleanField]
    return replace(
        reading,
        sql=f"{sql} RETURNING {columns}",
        parameters=reading.parameters | parameters,
        converters=[*reading.converters, *booleans],
    )


@functools.cache
def delete(alias: str, build: Build, *args: Any) -> Statement:
    """A DELETE of the rows of `build(*args)`, without the cascades and signals of the ORM."""
    query = build(*args).query.chain(DeleteQuery)
    sql, parameters = _with_names(*query.get_compiler(alias).as_sql())
    return Statement(alias=alias, sql=sql, parameters=parameters)


def instance(model: type[Model], alias: str, names: list[str], values: list[Any]) -> Any:
    """A model instance as if read from the database `alias`. Surplus values are ignored.

    Unlike the ORM, this does not call `__init__`, so `pre_init` and `post_init` are not sent.
    """
    state = ModelState()
    state.db, state.adding = alias, False
    attributes = dict(zip(names, values, strict=False))
    attributes["_state"] = state
    made = model.__new__(model)
    made.__dict__ = attributes
    return made


def several(name: str, size: int) -> list[Parameter]:
    """Return `size` parameters. `spread()` makes their values."""
    return [Parameter(f"{name}{number}") for number in range(size)]


def spread(name: str, values: Iterable[Any]) -> dict[str, Any]:
    """Return the values for the parameters that `several()` made, by name."""
    return {f"{name}{number}": value for number, value in enumerate(values)}


def _reading(expression: Any, vendor: str) -> tuple[str, Callable[[Any], Any] | None]:
    """How READING reads the column; as it is, if the field is not Django's own."""
    if not is_djangos(expression.output_field):
        return "{}", None
    return READING[vendor].get(expression.output_field.get_internal_type(), ("{}", None))


def _is_read_by_driver(expression: Any) -> bool:
    """Whether it is a count, or a column of booleans: SQLite's driver goes by the column's type."""
    is_column = isinstance(expression, Col) and type(expression.output_field) is BooleanField
    return is_column or isinstance(expression, Count)


def _is_binary(expression: Any) -> bool:
    kind = expression.output_field
    return is_djangos(kind) and kind.get_internal_type() in BINARY_TYPES


def is_djangos(field: Any) -> bool:
    return type(field).__module__.startswith("django.db.models.")


def _with_columns(sql: str, columns: list[str]) -> str:
    """Put these columns in place of those of the SQL. Raise ValueError if one holds " FROM "."""
    own, _, _ = sql.partition(" FROM ")
    if own.count("(") != own.count(")") or any(" FROM " in column for column in columns):
        raise ValueError(f"a column holds a FROM of its own: {own}")
    return "SELECT " + ", ".join(columns) + sql.removeprefix(own)


def _with_names(sql: str, values: Iterable[Any]) -> tuple[str, dict[str, Any]]:
    """Give the parameters of the SQL names. Return it with the values that never change.

    For parameters without names, Django would search the SQL on SQLite with a regular expression
    in each run.
    """
    names, parameters = [], {}
    for number, value in enumerate(values):
        if isinstance(value, Parameter):
            names.append(value.name)
        else:
            names.append(f"p{number}")
            parameters[f"p{number}"] = value
    return sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in names), parameters
