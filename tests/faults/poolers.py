"""PgBouncer before a database: on a free port, with the settings that `deploy/` has."""

import configparser
import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from tests.faults.sites import BASE_DIR

PGBOUNCER = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
is_root = hasattr(os, "geteuid") and os.geteuid() == 0


class Pooler:
    """A PgBouncer before the server of `database`, a URL. `url` is that database behind it.

    Settings replace those of `deploy/pgbouncer.ini`.
    """

    def __init__(self, folder, database, mode, **settings):
        self.folder, self.server, self.process = folder, urlsplit(database), None
        self.mode, self.settings = mode, settings
        self.port = _free_port()
        self.url = self.server._replace(
            netloc=f"{self.server.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}"
        ).geturl()
        self.ini, self.log = folder / "pgbouncer.ini", folder / "pgbouncer.log"
        self.write()

    def write(self, **settings):
        """Write the configuration, with these settings too. RELOAD makes them count."""
        self.settings |= settings
        shipped = configparser.ConfigParser(interpolation=None)
        shipped.read(BASE_DIR / "deploy" / "pgbouncer.ini")
        user, password = unquote(self.server.username), unquote(self.server.password)
        users = self.folder / "users.txt"
        users.write_text(f'"{user}" "{password}"\n')
        host, port = unquote(self.server.hostname), self.server.port or 5432
        shipped["databases"] = {"*": f"host={host} port={port}"}
        ours = {
            "listen_port": self.port,
            "auth_file": users,
            "unix_socket_dir": "",
        }
        ours |= {"admin_users": user, "max_client_conn": 300, "pool_mode": self.mode}
        shipped["pgbouncer"].update(
            {name: str(value) for name, value in (ours | self.settings).items()}
        )
        with open(self.ini, "w") as file:
            shipped.write(file)

    def start(self):
        for _ in range(3):  # another run of pytest that starts closes its folder to others
            open_to_others(self.folder)
            options = {"user": "nobody"} if is_root else {}  # it does not run as root
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    [PGBOUNCER, str(self.ini)], stdout=log, stderr=log, cwd="/", **options
                )
            if self._listens():
                return
        raise AssertionError(f"nothing listens: {self.log.read_text()}")

    def _listens(self):
        """Wait until it listens, or has ended."""
        while self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    @property
    def keeps_prepared_apart(self):
        """Whether it gives the prepared statements of its clients names of its own."""
        config = {row[0]: row[1] for row in self.tell("SHOW CONFIG")}
        return self.mode == "transaction" and config.get("max_prepared_statements", "0") != "0"

    def tell(self, command):
        """The rows that PgBouncer's console answers, such as to PAUSE, RECONNECT or SHOW POOLS."""
        console = self.server._replace(
            netloc=urlsplit(self.url).netloc, path="/pgbouncer", query=""
        )
        with psycopg.connect(
            console.geturl(), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def pgbouncer(folder, database, mode, **settings):
    """A `Pooler` that runs, with "session" or "transaction" as its mode. Its files are in `folder`,
    which others may then enter. The test is skipped if PgBouncer is not installed.
    """
    if not PGBOUNCER:
        pytest.skip("PgBouncer is not installed")
    pooler = Pooler(folder, database, mode, **settings)
    pooler.start()
    try:
        yield pooler
    finally:
        pooler.stop()


def _free_port():
    """A port that the system gives to nobody while the pooler is stopped (not an ephemeral one)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def open_to_others(folder):
    """Let others reach the folder, which pytest makes for its user alone."""
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 1:
            path.chmod(path.stat().st_mode | 0o711)
