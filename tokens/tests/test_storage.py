"""PostgreSQL keeps room for devices that are used, so their use writes no index."""

from importlib import import_module

import psycopg
import pytest
from django.db import connection

from config.tests.processes import database_url

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no parameters")
storage = import_module("tokens.migrations.0007_storage")
OPTIONS = "SELECT reloptions FROM pg_class WHERE relname = 'tokens_issuedtoken'"
# Of the transaction: rows that were updated, and those of them that no index was written for.
UPDATED = """SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_hot_updated(oid)
FROM pg_class WHERE relname = 'tokens_issuedtoken'"""


def ask(question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()


def test_use_of_a_device_writes_no_index(api, alice, age):
    phone = api(alice)
    phone.get("me")  # which confirms its first generation
    age(phone.device, minutes=2)
    before = ask(UPDATED)
    assert phone.get("me").status_code == 200
    pair = phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json()
    phone.keep(pair)
    assert phone.get("me").status_code == 200
    after = ask(UPDATED)
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 3]


@pytest.mark.django_db(transaction=True)
def test_parameters_are_set_and_taken_away_while_others_write(alice, api):
    api(alice)
    given = [f"{name}={value}" for name, value in storage.PARAMETERS.items()]
    with psycopg.connect(database_url()) as other:
        other.execute("UPDATE tokens_issuedtoken SET name = 'x'")
        for change, found in ((storage.reset_parameters, None), (storage.set_parameters, given)):
            with connection.schema_editor() as editor:
                change(None, editor)
            assert ask(OPTIONS) == (found,)
