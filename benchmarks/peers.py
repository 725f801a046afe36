"""Fills the tables of a contender; the database itself makes the rows."""

from django.db import connection

WRITING = {
    "sqlite": {
        "hex": "lower(hex(randomblob(32)))",
        "now": "datetime('now')",
        "later": "datetime('now', '+14 days')",
    },
    "postgresql": {
        "hex": "(md5(random()::text) || md5(random()::text))",
        "now": "now()",
        "later": "now() + interval '14 days'",
    },
}
NUMBERS = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {each}),"
    " people AS (SELECT id FROM accounts_user WHERE NOT is_superuser)"
)


def fill(statements: list[str], each: int) -> None:
    """Run the statements that make `each` rows for each user."""
    writing = WRITING[connection.vendor] | {"numbers": NUMBERS.format(each=each)}
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(**writing))


def settle() -> None:
    """Do what autovacuum will do sooner or later."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
