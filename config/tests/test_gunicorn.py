"""deploy/gunicorn.conf.py: workers are replaced without a moment when nobody answers."""

import os
import signal
import socket
import time
from contextlib import contextmanager

import pytest

from config.tests.test_scrapes import ask, children, free_port, scrape, wait_for
from config.tests.test_servers import command, read, serve

pytestmark = pytest.mark.slow

WORDS = "--config=deploy/gunicorn.conf.py --workers=2 --threads=1 --pid={}"
GONE = "postgres://user:secret@127.0.0.1:1/gone"  # nothing here asks the database


class Server:
    def __init__(self, site, folder, ring):
        self.site, self.ring = site, ring
        self.keys, self.pid_file = folder / "keys.json", folder / "pid"
        wait_for(lambda: len(self.workers()) == 2)
        with socket.create_connection(("127.0.0.1", site)) as one:  # occupies a worker
            one.sendall(b"POST /api/v1/login HTTP/1.1\r\nHost: testserver\r\n")
            ask(site, 1)  # of the other one

    def workers(self):
        return children(self.pid_file)

    def reload(self):
        os.kill(int(self.pid_file.read_text()), signal.SIGHUP)


@pytest.fixture
def server(tmp_path):
    with running(tmp_path, []) as server:
        yield server


@contextmanager
def running(folder, said):
    ring = os.environ["JWT_SIGNING_KEYS"]
    (folder / "keys.json").write_text(ring)
    variables = {
        "DATABASE_URL": GONE,
        "GUNICORN_CMD_ARGS": WORDS.format(folder / "pid"),
        "JWT_SIGNING_KEYS": "",
        "JWT_SIGNING_KEYS_FILE": str(folder / "keys.json"),
    }
    with serve("gunicorn", **variables) as (site, lines):
        yield Server(site, folder, ring)
    said += lines


def test_old_workers_answer_until_the_new_ones_have_started(server):
    """The new workers are held in the middle of their start."""
    old = server.workers()
    server.reload()
    wait_for(lambda: len(server.workers()) == 4)
    new = server.workers() - old
    signal_all(new, signal.SIGSTOP)
    ask(server.site, 10)
    time.sleep(1)  # so long gunicorn's main loop sleeps at most
    assert server.workers() == old | new
    signal_all(new, signal.SIGCONT)
    wait_for(lambda: server.workers() == new)
    ask(server.site, 10)


def signal_all(processes, signal_number):
    for process in processes:
        os.kill(int(process), signal_number)


def test_workers_that_cannot_start_leave_the_others_at_work(tmp_path):
    said = []
    with running(tmp_path, said) as server:
        old = server.workers()
        server.keys.write_text("{")
        server.reload()
        wait_for(lambda: server.workers() > old)
        wait_for(lambda: server.workers() == old)
        ask(server.site, 10)
        os.kill(int(min(old)), signal.SIGKILL)  # as if it had answered max_requests
        wait_for(lambda: min(old) not in server.workers())
        ask(server.site, 10)
        server.keys.write_text(server.ring)
        wait_for(lambda: len(server.workers()) == 2)
        server.reload()
        wait_for(lambda: len(server.workers()) == 2 and not old & server.workers())
        ask(server.site, 10)
    assert any("The other workers go on." in line for line in said)


def test_second_server_on_a_port_of_metrics_says_so_and_ends():
    port = free_port()
    words = "--config=deploy/gunicorn.conf.py --workers=1"
    variables = {"DATABASE_URL": GONE, "METRICS_PORT": str(port), "GUNICORN_CMD_ARGS": words}
    with serve("gunicorn", **variables):
        wait_for(lambda: scrape(port))
        process, _, file = command("gunicorn", **variables)
        assert process.wait(60) == 1
        assert f"METRICS_PORT: another program has port {port}." in read(file)
