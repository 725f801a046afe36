"""An index of a large table is built while people write. The figures say for how long they wait."""

import logging
import threading
import time

import psycopg
import pytest
from django.db import connection, models

from config.tests.processes import database_url
from tokens.models import IssuedToken

pytestmark = [
    pytest.mark.faults,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
logger = logging.getLogger(__name__)
ROWS = 400_000
INDEX = models.Index(fields=["os", "created_at", "id"], name="device_tried")


@pytest.fixture
def rows(api, alice):
    """So many devices, copies of one."""
    api(alice)
    copied = {"id": "gen_random_uuid()", "hash": "sha256(number::text::bytea)"}
    columns = [field.column for field in IssuedToken._meta.concrete_fields]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO tokens_issuedtoken ({', '.join(columns)})"
            f" SELECT {', '.join(copied.get(column, column) for column in columns)}"
            f" FROM tokens_issuedtoken, generate_series(1, {ROWS}) AS number"
        )
        cursor.execute("ANALYZE tokens_issuedtoken")


class Writer(threading.Thread):
    """Writes one row after the other."""

    def __init__(self):
        super().__init__()
        self.ends, self.stopping = [], threading.Event()

    def run(self):
        hashes = "SELECT hash FROM tokens_issuedtoken LIMIT 1"
        with psycopg.connect(database_url(), autocommit=True) as other:
            [handle] = other.execute(hashes).fetchone()
            while not self.stopping.is_set():
                write = "UPDATE tokens_issuedtoken SET last_seen_at = now() WHERE hash = %s"
                other.execute(write, [handle])
                self.ends.append(time.monotonic())
                time.sleep(0.01)


def build(*, atomic):
    """Build the index. Return how many writes ended meanwhile, and the longest wait of one."""
    writer = Writer()
    writer.start()
    try:
        while not writer.ends:
            time.sleep(0.01)
        began = time.monotonic()
        with connection.schema_editor(atomic=atomic) as editor:
            editor.add_index(IssuedToken, INDEX)
        took = time.monotonic() - began
    finally:
        writer.stopping.set()
        writer.join()
    connection.cursor().execute("DROP INDEX device_tried")
    waits = [b - a for a, b in zip(writer.ends, writer.ends[1:], strict=False)]
    count = sum(began < end < began + took for end in writer.ends)
    way = "with a lock" if atomic else "concurrently"
    logger.info("%d rows, %s: built in %.1f s", ROWS, way, took)
    logger.info("%d writes meanwhile, the longest waited %.1f s", count, max(waits))
    return count


def test_writes_wait_for_an_index_in_a_transaction_and_for_no_other(rows):
    # A first write may end before the lock is taken.
    assert build(atomic=True) <= 2
    assert build(atomic=False) > 10
