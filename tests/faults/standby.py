"""A PostgreSQL server with a standby, both of a test's own."""

from contextlib import contextmanager

from tests.faults.postgres import Cluster, cluster

SYNCHRONOUS = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
CAUGHT_UP = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"


class Standby(Cluster):
    """It follows `primary` under the name `standby`."""

    def __init__(self, folder, primary):
        super().__init__(folder)
        self.primary = primary

    def make(self):
        self.data.mkdir(parents=True)
        self.give_to_postgres()
        source = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name=standby"
        self._run("pg_basebackup", "--dbname", source, "--write-recovery-conf")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.port}\n")
        self.start()
        self.primary.await_row(CAUGHT_UP)

    def promote(self):
        assert self.sql("SELECT pg_promote()") == [(True,)]


@contextmanager
def with_standby(folder):
    """The primary and its standby."""
    with cluster(folder / "primary") as primary:
        standby = Standby(folder / "standby", primary)
        try:
            standby.make()
            yield primary, standby
        finally:
            if (standby.data / "postmaster.pid").exists():
                standby.stop("immediate")


def name_synchronous(primary, name):
    """Let commits wait for the standby of this name; for none if it is empty."""
    primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    primary.sql("SELECT pg_reload_conf()")
    if name:
        primary.await_row(SYNCHRONOUS)
