"""What waits for the disk before it is answered. A time last seen does not, on SQLite."""

import pytest
from django.db import connection

from tests.plugins.guestlist import FIREFOX, IPHONE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waits():
    """Of each statement that writes to the devices: its first word, and whether it waits."""
    seen = []

    def look(execute, sql, *args):
        answer = execute(sql, *args)
        word = sql.split()[0]
        if word in ("INSERT", "UPDATE") and "tokens_issuedtoken" in sql:
            seen.append((word, does_wait()))
        return answer

    with connection.execute_wrapper(look):
        yield seen


def does_wait():
    name = {"sqlite": "PRAGMA synchronous", "postgresql": "SHOW synchronous_commit"}
    with connection.cursor() as cursor:
        cursor.execute(name[connection.vendor])
        return cursor.fetchone()[0] in (2, "on")


def test_time_last_seen_alone_does_not_wait_on_sqlite(api, alice, age, waits):
    phone = api(alice)
    assert phone.get("me").status_code == 200  # the first use of its tokens
    assert waits == [("INSERT", True), ("UPDATE", True)]

    age(phone.device, seconds=61)
    waits.clear()
    before = phone.device.last_seen_at
    assert phone.get("me").status_code == 200
    assert waits == [("UPDATE", connection.vendor == "postgresql")]
    assert phone.device.last_seen_at > before

    waits.clear()
    assert phone.post("logout").status_code == 204
    assert waits == [("UPDATE", True)]


def test_alarm_waits(browser, alice, waits):
    tab = browser(alice, headers={"user-agent": FIREFOX})
    waits.clear()

    tab.get("/devices/", headers={"user-agent": IPHONE})

    assert alice.devices.get().alarm == "client"
    assert waits == [("UPDATE", True)]
