"""Django's schema editor for PostgreSQL, for a site that goes on while it migrates."""

from django.db.backends.postgresql import schema

PATIENCE = "2s"


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """A migration waits PATIENCE for a lock, because all requests for the table queue behind it.

    In a migration with `atomic = False`, indexes are built and dropped while others write.
    """

    def __enter__(self):
        super().__enter__()
        if self.connection.in_atomic_block and not self.collect_sql:
            self.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
        return self

    def add_index(self, model, index, concurrently=False):
        concurrently = concurrently or not self.connection.in_atomic_block
        if concurrently and not self.collect_sql:
            # A build that was interrupted leaves an index that PostgreSQL does not use.
            self.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.quote_name(index.name)}")
        super().add_index(model, index, concurrently=concurrently)

    def remove_index(self, model, index, concurrently=False):
        concurrently = concurrently or not self.connection.in_atomic_block
        super().remove_index(model, index, concurrently=concurrently)
