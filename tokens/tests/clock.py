"""The clocks of the database and of a host, turned by hand. The fixture is `clock`."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from accounts import compiled

START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """`now` is the time of the database, as a function in it. The host is `ahead` by seconds."""

    sql = {"sqlite": "clock()", "postgresql": "current_setting('test.clock')::timestamptz"}

    def __init__(self):
        self.ahead = 0
        self.now = START
        if connection.vendor == "sqlite":
            connection.connection.create_function("clock", 0, lambda: str(self.stored))

    @property
    def now(self):
        return self._now

    @now.setter
    def now(self, time):
        self._now = time
        self.stored = connection.ops.adapt_datetimefield_value(time)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('test.clock', %s::text, false)", [str(time)])

    def host_now(self):
        return self.now + timedelta(seconds=self.ahead)

    def host_time(self):
        return self.host_now().timestamp()

    def as_sql(self, compiler, connection, **context):
        return self.sql[connection.vendor], []


def forget_statements():
    for statements in vars(compiled).values():
        if hasattr(statements, "cache_clear"):
            statements.cache_clear()
