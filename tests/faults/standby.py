"""Servers of a fault: PostgreSQL with a standby of its own, and gunicorn as `deploy/` starts it."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.faults.sites import BASE_DIR
from tests.plugins.guestlist import PASSWORD

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))
AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Cluster:
    """A PostgreSQL server of our own in `folder`/`name`, which its user may enter."""

    def __init__(self, folder, name):
        self.data, self.name, self.port = folder / name, name, free_port()

    @property
    def where(self):
        return {"host": "127.0.0.1", "port": self.port, "user": "postgres"}

    def make(self):
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(
                "unix_socket_directories = ''\nshared_buffers = 32MB\nmax_connections = 60\n"
            )
        self.start()
        self.sql("CREATE ROLE guestlist LOGIN CREATEDB")
        self.sql("CREATE DATABASE guestlist OWNER guestlist")

    def follow(self, primary):
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self.run("pg_basebackup", "-d", source, "-D", self.data, "-R", "-X", "stream")
        self.start()
        self.await_row("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'")

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1"
        log = self.data.with_suffix(".log")
        self.run("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "start")

    def stop(self, mode="fast"):
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def kill(self):
        """As a power cut does: all processes of the server at once."""
        postmaster = (self.data / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in [postmaster, *children]:
            os.kill(int(pid), signal.SIGKILL)
        (self.data / "postmaster.pid").unlink()

    def promote(self):
        assert self.sql("SELECT pg_promote()") == [(True,)]

    def sql(self, statement, database="postgres"):
        with psycopg.connect(**self.where, dbname=database, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else None

    def await_row(self, statement):
        for _ in range(300):
            if self.sql(statement):
                return
            time.sleep(0.1)
        raise AssertionError(statement)

    def run(self, program, *args):
        words = [*AS_POSTGRES, str(BINARIES / program), *map(str, args)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=self.data.parent)


@contextmanager
def clusters(*names):
    """Servers of our own, the first one a primary. They are stopped at the end."""
    folder = Path(f"/tmp/guestlist-clusters-{os.getpid()}")
    folder.mkdir(mode=0o755)
    if AS_POSTGRES:
        shutil.chown(folder, "postgres")
    made = [Cluster(folder, name) for name in names]
    try:
        made[0].make()
        for standby in made[1:]:
            standby.follow(made[0])
        yield made
    finally:
        for cluster in made:
            cluster.stop("immediate")
        shutil.rmtree(folder)


class Web:
    """gunicorn with the settings of `deploy/`, and its log."""

    def __init__(self, site, workers=2):
        self.site, self.port, self.workers = site, free_port(), workers
        self.log = site.folder / "web.log"

    @contextmanager
    def running(self):
        words = ["-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "config.wsgi"]
        bound = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]
        environment = self.site.environment | {"SECURE_SSL_REDIRECT": "false"}
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *words, *bound],
                cwd=BASE_DIR,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            self.await_status("/healthz", 200)
            yield self
        finally:
            process.terminate()
            process.wait(timeout=60)

    def await_status(self, path, status, within=60):
        """Ask until it answers so. Return how many seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < within:
            if self.ask("GET", path)[0] == status:
                return time.monotonic() - began
            time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-4000:])

    def ask(self, method, path, body=None, token=None, timeout=40):
        """Status and JSON. The status is 0 if there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Host": "example.org", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def sign_in(self, username):
        body = {"username": username, "password": PASSWORD}
        status, pair = self.ask("POST", "/api/v1/login", body)
        assert status == 200, (status, pair)
        return pair

    def me(self, pair):
        return self.ask("GET", "/api/v1/me", token=pair["access_token"])[0]


class Clients:
    """Clients that use their devices all the time, and what they were answered."""

    def __init__(self, web, pairs):
        self.web, self.pairs, self.answers = web, pairs, Counter()
        self.stopping = threading.Event()

    @contextmanager
    def running(self):
        threads = [threading.Thread(target=self._use, args=[pair]) for pair in self.pairs]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()

    def _use(self, pair):
        while not self.stopping.is_set():
            self.answers[self.web.me(pair)] += 1
            time.sleep(0.02)
