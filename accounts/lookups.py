from django.db import models
from django.db.models.functions import Lower


class BytewiseLower(Lower):
    """`field__lower`, compared byte by byte and not as a language would: only so does a range of
    an index hold the texts with a common start, whatever the collation of the database. SQLite
    does so by itself."""

    def as_postgresql(self, compiler, connection, **context):
        return self.as_sql(
            compiler, connection, template='%(function)s(%(expressions)s) COLLATE "C"', **context
        )


models.CharField.register_lookup(BytewiseLower)
models.EmailField.register_lookup(BytewiseLower)
