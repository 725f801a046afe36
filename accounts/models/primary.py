"""Reads from the database that is written to, also where a router sends reads to a replica."""

from django.db import router


class ReadsPrimary:
    """A queryset of rows that decide who is let in, and who may do what.

    A replica is late: there a revoked device would be live, and a lost role held.
    """

    @property
    def db(self) -> str:
        return self._db or router.db_for_write(self.model, **self._hints)  # type: ignore[attr-defined]
