"""A lookup for names without regard to case, which an index on `lower()` answers."""

from django.db import models
from django.db.models.functions import Lower


class BytewiseLower(Lower):
    """`field__lower`, compared byte by byte.

    In this order the texts with a common start stand together, so a range of the index finds them.
    In the order of a language they may not. Both databases lower the letters from A to Z, and no
    others. SQLite does so by itself. PostgreSQL lowers and compares by the collation of the
    database, in which `I` may have another small letter, so it is told to use "C".
    """

    def as_postgresql(self, compiler, connection, **context):
        return self.as_sql(
            compiler, connection, template='%(function)s(%(expressions)s COLLATE "C")', **context
        )


models.CharField.register_lookup(BytewiseLower)
models.EmailField.register_lookup(BytewiseLower)
