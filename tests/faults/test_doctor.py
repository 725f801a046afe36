"""doctor, as a process, on sites that are broken for real."""

import json
import os
import socketserver
import threading

import pytest
from django.conf import settings

from config.databases import LIMITS, PARAMETERS
from config.tests.processes import database_url
from tests.faults.sites import Site
from tests.faults.states import ANY, STATES, behind_pgbouncer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A site in order."""
    site = Site(tmp_path_factory.mktemp("site"), "")
    site.database = address(site.folder, "template")
    site.lay_out()
    if not site.is_sqlite:
        site.server(f'CREATE DATABASE "{site.name}"')
    site.set_up()
    yield site
    site.remove()


@pytest.fixture
def site(template, mail_server, tmp_path):
    copy = template.copy(tmp_path, address(tmp_path, "copy"))
    copy.environment["EMAIL_URL"] = mail_server
    yield copy
    copy.remove()


@pytest.fixture(scope="module")
def mail_server():
    class Greeter(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 hello\r\n")
            for line in self.rfile:
                self.wfile.write(b"221 bye\r\n" if line[:4].upper() == b"QUIT" else b"250 yes\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def address(folder, name):
    """DATABASE_URL of a database of its own, next to that of the run."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return f"sqlite:///{folder}/db.sqlite3"
    return f"{database_url().rpartition('/')[0]}/doctor_{os.getpid()}_{name}"


def examine(site):
    """The rows, and whether doctor failed."""
    done = site.run("doctor", "--json")
    assert "Traceback" not in done.stderr
    assert "our-secret" not in done.stdout + done.stderr
    return json.loads(done.stdout), done.returncode


def test_site_in_order(site):
    rows, code = examine(site)
    assert code == 0
    assert [row for row in rows if row["level"] != "ok"] == []


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_broken_state_is_found(site, state):
    if state.database not in (ANY, "sqlite" if site.is_sqlite else "postgresql"):
        pytest.skip(f"a state of {state.database}")
    with state.of(site):
        rows, code = examine(site)

    [found] = [row for row in rows if row["check"] == state.check]
    assert found["level"] == state.level
    assert state.words in found["message"]
    assert found["hint"]
    assert code == (1 if "error" in {row["level"] for row in rows} else 0)


@pytest.mark.parametrize("pooled", ["session", "transaction"])
def test_site_in_order_behind_pgbouncer(site, pooled):
    """With what docs/operations.md says to do, on a server whose defaults are stricter."""
    if site.is_sqlite:
        pytest.skip("SQLite has no pooler")
    site.server(f'ALTER DATABASE "{site.name}" SET default_transaction_isolation = serializable')
    if pooled == "transaction":
        for parameter, value in (PARAMETERS | LIMITS).items():
            site.server(f"ALTER DATABASE \"{site.name}\" SET {parameter} = '{value}'")
    site.environment["DATABASE_POOLER"] = pooled
    with behind_pgbouncer(site, pooled, ignored=""):
        rows, _ = examine(site)
    assert [row for row in rows if row["level"] != "ok"] == []


def test_everything_broken_at_once(site):
    """Each part is told of, in one run."""
    (site.static / "staticfiles.json").unlink()
    (site.folder / "damaged.mmdb").write_bytes(b"\xff" * 100)
    site.environment |= {
        "ALLOWED_HOSTS": "*",
        "EMAIL_URL": "smtp://127.0.0.1:1",
        "GEOIP_PATH": str(site.folder / "damaged.mmdb"),
        "DATABASE_URL": f"sqlite:////{site.folder}"
        if site.is_sqlite
        else "postgres://guestlist:our-secret@127.0.0.1:1/guestlist",
    }

    rows, code = examine(site)

    levels = {row["check"]: row["level"] for row in rows}
    assert code == 1
    for check in ("database", "mail", "static files"):
        assert levels[check] == "error"
    for check in ("configuration", "places", "superuser"):
        assert levels[check] == "warning"
