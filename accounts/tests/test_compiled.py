# ruff: noqa: DJ001, DJ008 -- a column of each type, and null in each
"""Columns of anybody: the compiled SELECT reads every type of field as the ORM reads it."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.db import connection, models

from accounts import compiled
from accounts.compiled import Parameter
from accounts.inserting import insert


class Reversed(models.CharField):
    """A field of somebody's own, which stores its text backwards, and None as a word."""

    def from_db_value(self, value, expression, connection):
        return None if value == "none" else value[::-1]

    def get_prep_value(self, value):
        return "none" if value is None else value[::-1]


class Celsius(models.DateTimeField):
    """A field of somebody's own that is called like one of Django's."""

    def from_db_value(self, value, expression, connection):
        return value and value + timedelta(days=1)

    def get_prep_value(self, value):
        return value and super().get_prep_value(value - timedelta(days=1))


class Columns(models.Model):
    """One field of each type of Django's, and two of somebody's own."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=20, null=True)
    date = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(null=True)
    file = models.FileField(null=True)
    path = models.FilePathField(null=True)
    float = models.FloatField(null=True)
    image = models.CharField(max_length=9, null=True)
    ip = models.GenericIPAddressField(null=True)
    integer = models.IntegerField(null=True)
    json = models.JSONField(null=True)
    positive_big = models.PositiveBigIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_small = models.PositiveSmallIntegerField(null=True)
    slug = models.SlugField(null=True)
    small = models.SmallIntegerField(null=True)
    text = models.TextField(null=True)
    time = models.TimeField(null=True)
    url = models.URLField(null=True)
    uuid = models.UUIDField(null=True)
    own = Reversed(max_length=20, null=True)
    own_moment = Celsius(null=True)

    class Meta:
        abstract = True


class Every(Columns):
    """What the database makes too: its key, and a computed column."""

    generated = models.GeneratedField(
        expression=models.F("integer") + 1,
        output_field=models.IntegerField(),
        db_persist=True,
    )
    parent = models.ForeignKey("self", models.CASCADE, null=True)

    class Meta:
        app_label = "columns"


class Given(Columns):
    """Whose values are all known before it is inserted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateField(auto_now=True)
    number = models.IntegerField(default=lambda: 3)
    word = models.CharField(max_length=9, default="word", db_default="other")
    parent = models.ForeignKey("self", models.CASCADE, null=True)

    class Meta:
        app_label = "columns"


class WithDefaultOfDatabase(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    word = models.CharField(max_length=9, db_default="word")

    class Meta:
        app_label = "columns"


class Child(Given):
    class Meta:
        app_label = "columns"


FULL = {
    "big": 2**62,
    "binary": b"\0\xff",
    "boolean": True,
    "char": "a % %s é",
    "date": date(2026, 2, 28),
    "moment": datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
    "decimal": Decimal("12345.678900"),
    "duration": timedelta(days=-3, microseconds=7),
    "email": "a@example.org",
    "file": "a/b.txt",
    "path": "/tmp/x",
    "float": 0.1,
    "image": "x",
    "ip": "2001:db8::1",
    "integer": 7,
    "json": {"a": [1, None, "2026-01-01"], "b": "true"},
    "positive_big": 2**62,
    "positive": 3,
    "positive_small": 4,
    "slug": "a-b",
    "small": -5,
    "text": "{}",
    "time": time(23, 59, 58, 7),
    "url": "https://example.org/?a=%s",
    "uuid": uuid.UUID(int=7),
    "own": "forwards",
    "own_moment": datetime(2026, 1, 1, tzinfo=UTC),
}
TWISTED = [{"json": "a"}, {"json": 1.5}, {"json": []}, {"text": "[1]"}, {"boolean": False}]


@pytest.fixture
def every(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Every)
    yield Every
    with connection.schema_editor() as editor:
        editor.delete_model(Every)


def _of_key():
    return Every.objects.filter(pk=Parameter("pk"))


def attributes(row):
    return {
        field.attname: (type(value := getattr(row, field.attname)), value)
        for field in Every._meta.concrete_fields
    }


@pytest.mark.parametrize("values", [FULL, {}, *TWISTED])
def test_every_type_reads_as_the_orm_reads_it_and_saves_back(every, values):
    parent = every.objects.create()
    key = every.objects.create(**values, parent=parent).pk
    expected = attributes(every.objects.get(pk=key))
    statement = compiled.select.__wrapped__("default", _of_key)

    [found] = statement.fetch(pk=key)
    row = compiled.instance(every, "default", statement.names, found)

    assert attributes(row) == expected
    row.save()
    assert attributes(every.objects.get(pk=key)) == expected


@pytest.fixture
def given(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(Given)
    yield Given
    with connection.schema_editor() as editor:
        editor.delete_model(Given)


def stored(row):
    """What the database holds, but for the key and the times of the two stamps."""
    names = [f.column for f in Given._meta.fields if f.name not in ("id", "created", "changed")]
    columns = ", ".join(map(connection.ops.quote_name, names))
    key = Given._meta.pk.get_db_prep_value(row.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM columns_given WHERE id = %s", [key])
        return cursor.fetchone()


@pytest.mark.parametrize("values", [FULL, {}, *TWISTED, {"char": 5}, {"text": 7, "slug": "é"}])
def test_insert_stores_what_the_orm_stores(given, values):
    parent = given.objects.create()
    saved, inserted = given(**values, parent=parent), given(**values, parent=parent)
    saved.save(force_insert=True)

    insert("default", inserted)

    assert stored(inserted) == stored(saved)
    assert (inserted.created.date(), inserted.changed) == (saved.created.date(), saved.changed)
    inserted.text = "saved again"
    inserted.save()
    assert given.objects.get(pk=inserted.pk).text == "saved again"


def test_insert_sends_the_signals_of_a_save_and_stores_what_they_set(given):
    heard = []

    def before(sender, instance, **kwargs):
        instance.char = "set before"
        heard.append(("pre_save", kwargs))

    def after(sender, instance, **kwargs):
        heard.append(("post_save", kwargs))

    models.signals.pre_save.connect(before, sender=given)
    models.signals.post_save.connect(after, sender=given)
    try:
        row = given()
        insert("default", row)
        inserted, heard = heard, []
        given().save(force_insert=True)
    finally:
        models.signals.pre_save.disconnect(before, sender=given)
        models.signals.post_save.disconnect(after, sender=given)

    assert given.objects.get(pk=row.pk).char == "set before"
    assert inserted == heard
    assert [name for name, _ in inserted] == ["pre_save", "post_save"]


@pytest.fixture
def with_default(transactional_db):
    with connection.schema_editor() as editor:
        editor.create_model(WithDefaultOfDatabase)
    yield WithDefaultOfDatabase
    with connection.schema_editor() as editor:
        editor.delete_model(WithDefaultOfDatabase)


@pytest.fixture
def child(given):
    with connection.schema_editor() as editor:
        editor.create_model(Child)
    yield Child
    with connection.schema_editor() as editor:
        editor.delete_model(Child)


def test_insert_leaves_a_default_of_the_database_to_it(with_default):
    rows = [with_default(), with_default(word="own")]
    for row in rows:
        insert("default", row)

    words = [with_default.objects.get(pk=row.pk).word for row in rows]
    assert words == ["word", "own"]


def test_insert_saves_what_else_the_database_makes(every, child):
    computed, inherited = every(integer=7), child(char="a")
    for row in (computed, inherited):
        insert("default", row)

    assert every.objects.get(pk=computed.pk).generated == 8
    assert child.objects.get(pk=inherited.pk).char == "a"
