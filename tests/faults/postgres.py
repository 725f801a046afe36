"""A PostgreSQL server of a test's own, which it may stop, kill and fill up."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.faults.poolers import is_root, open_to_others
from tests.faults.servers import free_port

# As Debian configures it, but on a small disk.
SETTINGS = """
listen_addresses = '127.0.0.1'
max_wal_size = 64MB
min_wal_size = 32MB
"""


class Cluster:
    def __init__(self, folder):
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not versions or not is_root:
            pytest.skip("this needs PostgreSQL on this machine, and root, who becomes its user")
        self.bin, self.data, self.port = versions[-1], folder / "data", free_port()

    @property
    def url(self):
        return f"postgres://guestlist:guestlist@127.0.0.1:{self.port}/guestlist"

    def make(self):
        self.data.mkdir(parents=True)
        self.give_to_postgres()
        self._run(
            "initdb", "--auth=trust", "--wal-segsize=4", "--encoding=UTF8", "--locale=C.UTF-8"
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}port = {self.port}\nunix_socket_directories = ''\n")
        self.start()
        self.sql("CREATE ROLE guestlist LOGIN CREATEDB")
        self.sql("CREATE DATABASE guestlist OWNER guestlist")

    def give_to_postgres(self):
        open_to_others(self.data.parent)
        subprocess.run(["chown", "postgres", self.data], check=True)
        self.data.chmod(0o700)

    def start(self):
        self._run("pg_ctl", "start", "--wait", "--silent", f"--log={self.data}/log")

    def stop(self, mode):
        self._run("pg_ctl", "stop", "--wait", "--silent", f"--mode={mode}")

    def kill(self):
        """SIGKILL to the server and all its processes, at once."""
        server = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for number in (server, *map(int, children)):
            os.kill(number, signal.SIGKILL)
        while Path(f"/proc/{server}").exists():
            time.sleep(0.05)
        (self.data / "postmaster.pid").unlink()

    def is_running(self):
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def sql(self, statement):
        where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        with psycopg.connect(where, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else None

    def await_row(self, question):
        """Ask until there is an answer."""
        for _ in range(600):
            if self.sql(question):
                return
            time.sleep(0.1)
        raise AssertionError(question)

    def _run(self, program, *arguments):
        command = [
            "runuser",
            "-u",
            "postgres",
            "--",
            self.bin / program,
            "-D",
            self.data,
            *arguments,
        ]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def cluster(folder):
    """A `Cluster` that runs, with an empty database `guestlist` of the role `guestlist`."""
    made = Cluster(folder)
    try:
        made.make()
        yield made
    finally:
        if (made.data / "postmaster.pid").exists():
            made.stop("immediate")
