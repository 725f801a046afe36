"""What Prometheus gets: from where, from which tables, and from all processes of a server."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest
from django.db import connection
from django.db.backends.signals import connection_created
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import QueuedMail
from config import readiness, scrapes
from config.tests.processes import BASE_DIR, database_url
from config.tests.test_servers import SERVERS, serve
from tokens.flows.figures import take_figures


@pytest.fixture(autouse=True)
def first_look(monkeypatch):
    monkeypatch.setattr(readiness, "_looks", [])


def collect():
    """What the database knows, as `{"name{label}": value}`. Scrapes have threads of their own."""
    found = []
    thread = Thread(target=lambda: found.extend(scrapes.Stored().collect()))
    thread.start()
    thread.join()
    return {
        f"{sample.name[10:]}{{{','.join(sample.labels.values())}}}": sample.value
        for metric in found
        for sample in metric.samples
    }


@pytest.mark.django_db(transaction=True)
def test_rows_are_those_that_the_purge_counted(api, alice, bob):
    api(alice), api(bob)
    assert not {"live_devices{}", "purged_timestamp_seconds{}"} & set(collect())
    take_figures()
    api(bob)
    QueuedMail.objects.all().delete()
    found = collect()
    assert time.time() - found.pop("purged_timestamp_seconds{}") < 60
    assert found == {
        "ready{database}": 1,
        "ready{migrations}": 1,
        "ready{keys}": 1,
        "live_devices{}": 2,
        "devices_past_retention{}": 0,
        "mails_waiting{}": 0,
        "mails_given_up{}": 0,
        "mail_oldest_seconds{}": 0,
        "mail_age_seconds{}": 0,
        "after_restore_due{}": 0,
    }


@pytest.mark.django_db(transaction=True)
def test_scrape_asks_for_no_device(api, alice):
    """The look at what is ready, which is kept, updates no row of theirs."""
    api(alice)
    take_figures()
    asked = []

    def note(execute, sql, *args):
        asked.append(sql)
        return execute(sql, *args)

    def listen(connection, **kwargs):
        connection.execute_wrappers.append(note)

    connection_created.connect(listen)
    try:
        collect()
        first, asked[:] = list(asked), []
        collect()
    finally:
        connection_created.disconnect(listen)
    about_devices = [sql for sql in first if "tokens_issuedtoken" in sql]
    assert about_devices == ["UPDATE tokens_issuedtoken SET id = id WHERE 1 = 0"]
    assert sum("tokens_figure" in sql for sql in asked) == 1
    assert sum("accounts_queuedmail" in sql for sql in asked) == 1
    assert not [sql for sql in asked if "issuedtoken" in sql or "accounts_user" in sql]


@pytest.mark.django_db(transaction=True)
def test_without_the_database_a_scrape_says_so_and_no_more(monkeypatch):
    name = "PORT" if connection.vendor == "postgresql" else "NAME"
    monkeypatch.setitem(connection.settings_dict, name, "1" if name == "PORT" else "/nowhere/x")
    assert collect() == {"ready{database}": 0, "ready{migrations}": 1, "ready{keys}": 1}


# With a server


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def scrape(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask(port, times):
    for _ in range(times):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            client.request("GET", "/api/v1/me", headers={"Host": "testserver"})
            assert client.getresponse().status == 401


def children(pid_file):
    """The workers of a gunicorn."""
    master = pid_file.read_text().strip()
    return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())


def wait_for(question):
    for _ in range(600):
        with suppress(OSError):
            if question():
                return
        time.sleep(0.1)
    raise AssertionError("It does not come.")


@pytest.mark.django_db(transaction=True)
def test_counts_of_workers_add_up_and_survive_them(tmp_path):
    port, directory, pid_file = free_port(), tmp_path / "shared", tmp_path / "pid"
    directory.mkdir()
    words = f"--config=deploy/gunicorn.conf.py --workers=2 --threads=1 --pid={pid_file}"
    shared = {"METRICS_PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    refused = ("guestlist_refusals_total", "not_authenticated")

    def locks():
        """Held by a worker that counts."""
        return len(list(directory.glob("counter_*.db")))

    with serve("gunicorn", DATABASE_URL=database_url(), GUNICORN_CMD_ARGS=words, **shared) as (
        site,
        said,
    ):
        wait_for(lambda: locks() == 2)
        ask(site, 30)
        assert scrape(port)[refused] == 30
        assert scrape(port)["guestlist_responses_total", "401"] == 30
        for killed in sorted(children(pid_file)):
            os.kill(int(killed), signal.SIGKILL)
            wait_for(lambda killed=killed: killed not in children(pid_file) and scrape(port))
            assert scrape(port)[refused] >= 30
        wait_for(lambda: len(children(pid_file)) == 2)
        ask(site, 30)
        assert scrape(port)[refused] == 60
    assert "Traceback" not in "\n".join(said)
    assert locks() <= 4  # two, if the dead were gone before the others came


def test_gunicorn_makes_the_directory_and_takes_it_away():
    port = free_port()
    words = "--config=deploy/gunicorn.conf.py --workers=2 --threads=1"
    made = lambda: set(Path("/dev/shm").glob("guestlist-metrics-*"))  # noqa: E731
    before = made()
    gone = "postgres://u:our-secret@127.0.0.1:1/gone"
    with serve("gunicorn", DATABASE_URL=gone, METRICS_PORT=str(port), GUNICORN_CMD_ARGS=words) as (
        site,
        _,
    ):
        ask(site, 10)
        wait_for(lambda: scrape(port)["guestlist_responses_total", "401"] == 10)
        assert len(made() - before) == 1
    assert made() == before


@pytest.mark.parametrize("server", SERVERS)
def test_scrape_is_answered_while_the_database_is_away_on_the_loopback_address_alone(server):
    port = free_port()
    gone = "postgres://u:our-secret@127.0.0.1:1/gone"
    with serve(server, DATABASE_URL=gone, METRICS_PORT=str(port)) as (site, said):
        ask(site, 3)
        wait_for(lambda: scrape(port))
        found = scrape(port)
        assert found["guestlist_ready", "database"] == 0
        assert found["guestlist_responses_total", "401"] == 3
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port))
        for method in ("POST", "HEAD", "OPTIONS", "DELETE"):
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
                client.request(method, "/metrics")
                assert client.getresponse().status == 501
        for path in ("/", "/healthz", "/metrics/", "/metricsx"):
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
                client.request("GET", path)
                assert client.getresponse().status == 404
        assert scrape(port, "/metrics?a=b")
    assert "our-secret" not in "\n".join(said)
    assert "Traceback" not in "\n".join(said)


def test_port_that_is_taken_stops_no_site():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve("gunicorn", DATABASE_URL="sqlite:////nowhere/x", METRICS_PORT=port) as (
            site,
            said,
        ):
            ask(site, 1)
    [line] = [line for line in said if "metrics not served" in line]
    assert "Address already in use" in line


def test_directory_that_is_not_there_stops_no_site(tmp_path):
    shared = {"METRICS_PORT": str(free_port()), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "none")}
    with serve("gunicorn", DATABASE_URL="sqlite:////nowhere/x", **shared) as (site, said):
        ask(site, 1)
    assert any("metrics of this process not shared" in line for line in said)


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_without_a_port_nothing_is_loaded(server):
    code = f"import config.{server}, sys; print('prometheus_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
