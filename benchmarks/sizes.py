"""The size of a table on disk."""

import os

from django.db import connection, models


def of(model: type[models.Model]) -> dict[str, int]:
    """On PostgreSQL the bytes of the table and of each index, on SQLite those of the whole file."""
    if connection.vendor == "sqlite":
        return {"the file, users included": os.stat(connection.settings_dict["NAME"]).st_size}
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index"
            " WHERE indrelid = %s::regclass ORDER BY 2 DESC",
            [table],
        )
        indexes = dict(cursor.fetchall())
        cursor.execute("SELECT pg_table_size(%s::regclass)", [table])
        (size,) = cursor.fetchone()
    return {"table": size, "all indexes": sum(indexes.values())} | {
        f"index `{name}`": size for name, size in indexes.items()
    }
