"""PostgreSQL behind a real PgBouncer: what holds for a request, and what never leaks."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from django.db import OperationalError, connection, connections
from django.db.utils import ConnectionHandler

from accounts.tests.admin import url_of
from config.databases import POOL, bound_connections, limit_requests, read_database
from config.tests.processes import BASE_DIR, database_url
from config.tests.test_servers import SERVERS, end_connections, send, serve
from tests.faults.poolers import pgbouncer
from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken
from tokens.tests.admin import export

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no pooler"),
]
LOGIN = json.dumps({"username": "alice", "password": PASSWORD}).encode()
# Parameters of a backend that a client has set, and what else it keeps of a session.
STATE = """
SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND setting != reset_val
UNION ALL SELECT 'prepared ' || statement FROM pg_prepared_statements
WHERE name NOT LIKE 'PGBOUNCER%'
UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory'
UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relpersistence = 't'
"""


@pytest.fixture(params=["session", "transaction"])
def pooler(request, tmp_path):
    """All clients share one connection to the server, as far as the mode allows."""
    size = {"session": 10, "transaction": 1}[request.param]
    with pgbouncer(tmp_path, database_url(), request.param, default_pool_size=size) as pooler:
        yield pooler


@pytest.fixture
def connect(monkeypatch):
    """Makes connections as the site has them; by default as a web server over WSGI."""
    made = []

    def connect(url, mode, *, command=False, asgi=False):
        monkeypatch.setenv("DATABASE_URL", url)
        database = read_database("", mode)
        if not command:
            limit_requests(database)
        if asgi:
            bound_connections(database)
            database["OPTIONS"]["pool"] = POOL | {"max_size": 1}
        wrapper = ConnectionHandler({"default": database})["default"]
        wrapper.alias = f"{url} {mode} {len(made)}"  # pools are shared by name
        made.append(wrapper)
        return wrapper

    yield connect
    for wrapper in made:
        wrapper.close()
        wrapper.close_pool()


@pytest.fixture
def stricter():
    """The database has other defaults than the site relies on, and none of its limits."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_isolation = serializable')
        cursor.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Kathmandu'")
        yield
        cursor.execute(f'ALTER DATABASE "{name}" RESET ALL')


def ask(wrapper, sql):
    with wrapper.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


SHOW = """SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),
current_setting('jit'), current_setting('transaction_isolation'), current_setting('timezone')"""


# What a connection has


@pytest.mark.parametrize("asgi", [False, True])
def test_request_has_its_parameters_on_a_stricter_server(stricter, connect, tmp_path, asgi):
    expected = [("10s", "20s", "off", "read committed", "UTC")]
    assert ask(connect(database_url(), "none", asgi=asgi), SHOW) == expected
    with pgbouncer(tmp_path, database_url(), "session") as pooler:
        assert ask(connect(pooler.url, "session", asgi=asgi), SHOW) == expected
        # A command may take longer, also on the backend that a request has had.
        command = connect(pooler.url, "session", command=True)
        assert ask(command, SHOW) == [("0", "0", "on", "read committed", "UTC")]
    command = connect(database_url(), "none", command=True)
    assert ask(command, SHOW) == [("0", "0", "on", "read committed", "UTC")]


def test_what_pgoptions_names_wins_and_the_rest_stays(connect, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=3s -c work_mem=8MB")
    web = connect(database_url(), "none")
    assert ask(web, SHOW) == [("3s", "20s", "off", "read committed", "UTC")]
    assert ask(web, "SHOW work_mem") == [("8MB",)]


def test_parameters_without_a_pooler_cost_no_statement(stricter, connect):
    web, asked = connect(database_url(), "none"), []
    with web.execute_wrapper(lambda run, *args: asked.append(args[0]) or run(*args)):
        web.ensure_connection()
    assert asked == []
    [(last,)] = ask(web, "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    assert "pg_stat_activity" in last


# What is left for other clients


def state_of(pooler):
    """Whatever a client finds that comes after the others."""
    with psycopg.connect(pooler.url, prepare_threshold=None) as client:
        return {row for (row,) in client.execute(STATE).fetchall()}


@pytest.fixture
def through(connect):
    """Requests of this process go through the pooler from then on."""
    direct = connections["default"]

    def through(pooler, **how):
        connections["default"] = connect(pooler.url, pooler.mode, **how)
        connections["default"].alias = "default"
        return connections["default"]

    yield through
    connections["default"] = direct


def test_requests_leave_nothing_to_other_clients(pooler, through, api, alice, root, browser):
    before = state_of(pooler)
    web = through(pooler)
    phone = api(alice)
    assert {phone.get("me").status_code for _ in range(10)} == {200}
    assert api().post("login", {"username": "alice", "password": "five"}).status_code == 401
    tab = browser(root)
    assert tab.get(url_of(alice)).status_code == 200  # a form that chooses among roles
    rows = csv.DictReader(io.StringIO(export(tab, "csv", IssuedToken.objects.all())))
    assert {row["username"] for row in rows} == {"alice", "root"}
    if pooler.mode == "transaction":
        assert state_of(pooler) == before
    web.close()
    assert state_of(pooler) == before


def test_dump_that_would_change_connections_of_others_is_refused(tmp_path):
    """pg_dump empties the search_path, so the next client would find no table."""
    command = [sys.executable, "deploy/backup.py", str(tmp_path)]
    variables = {"DATABASE_URL": database_url(), "DATABASE_POOLER": "transaction"}
    done = subprocess.run(
        command,
        cwd=BASE_DIR,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "DATABASE_POOLER=none" in done.stderr
    assert not list(tmp_path.iterdir())


# Prepared statements, where transactions are pooled


def wrong_answers(one, other):
    """Two clients prepare different queries on a backend each; then a third one takes a backend.

    The other two ask on the backend that is left. Return how many got an answer to another query.
    """
    clients = {"one": one, "other": other}
    for client in clients.values():
        client.autocommit = False
        client.execute("SELECT 1", prepare=False)  # a transaction is open, so it has a backend
    for name, client in clients.items():
        client.execute(f"SELECT %s || ' {name}'", ["this is"], prepare=True)
    for client in clients.values():
        client.commit()
    with psycopg.connect(one.info.dsn, password=one.info.password) as third:
        third.execute("SELECT 1", prepare=False)
        answers = {}
        for name, client in clients.items():
            asked = f"SELECT %s || ' {name}'"
            answers[name] = client.execute(asked, ["this is"], prepare=True).fetchone()[0]
            client.commit()
    return sum(answer != f"this is {name}" for name, answer in answers.items())


def test_other_clients_statement_runs_unless_the_pooler_is_known(tmp_path, connect):
    """What DATABASE_POOLER=transaction prevents. psycopg alone would prepare."""
    with pgbouncer(tmp_path, database_url(), "transaction", default_pool_size=2) as pooler:
        bare = [psycopg.connect(pooler.url) for _ in range(2)]
        assert wrong_answers(*bare) == (0 if pooler.keeps_prepared_apart else 1)
        sites = [connect(pooler.url, "transaction") for _ in range(2)]
        for site in sites:
            site.ensure_connection()
        assert wrong_answers(*(site.connection for site in sites)) == 0
        for client in bare:
            client.close()


def test_queries_are_prepared_where_the_pooler_keeps_them_apart(pooler, connect):
    site = connect(pooler.url, pooler.mode)
    for _ in range(10):
        ask(site, "SELECT 1")
    with psycopg.connect(pooler.url) as client:
        asked = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"
        [prepared] = client.execute(asked).fetchone()
    [(own,)] = ask(site, asked)
    if pooler.mode == "session":
        assert (prepared, own) == (0, 1)
    else:
        assert prepared == own == pooler.keeps_prepared_apart


# A pooler, or a server behind it, that goes and comes back


@pytest.fixture(params=["kept", "pool"])
def site(request, pooler, connect):
    """Asks as a request does, on a connection as under WSGI ("kept") or as under ASGI ("pool")."""
    wrapper = connect(pooler.url, pooler.mode, asgi=request.param == "pool")
    wrapper.inc_thread_sharing()

    def request():
        wrapper.close_if_unusable_or_obsolete()
        try:
            return ask(wrapper, "SELECT pg_backend_pid()")[0][0]
        finally:
            wrapper.close_if_unusable_or_obsolete()

    return request


def test_pooler_that_was_restarted_fails_no_request(pooler, site):
    for _ in range(2):
        before = site()
        pooler.stop()
        pooler.start()
    assert site() != before


def test_pooler_that_is_gone_fails_requests_until_it_is_back(pooler, site):
    site()
    pooler.stop()
    for _ in range(2):
        with pytest.raises(OperationalError):
            site()
    pooler.start()
    assert site()


def test_connections_that_the_pooler_replaces_fail_no_request(pooler, site):
    before = site()
    pooler.tell("RECONNECT")
    if pooler.mode == "transaction":
        assert site() != before
    else:
        assert site() == before, "a session keeps its connection until it ends"


def test_idle_client_that_the_pooler_closes_fails_no_request(pooler, site):
    pooler.write(client_idle_timeout=1)
    pooler.tell("RELOAD")
    for _ in range(2):
        before = site()
        if pooler.mode == "transaction":
            wait_until(lambda: clients(pooler) == 0)
        assert site() == before


def test_idle_server_that_the_pooler_closes_fails_no_request(pooler, site):
    pooler.write(server_idle_timeout=1)
    pooler.tell("RELOAD")
    before = site()
    if pooler.mode == "transaction":
        wait_until(lambda: not backends(before))
        assert site() != before
    else:
        assert site() == before, "a session keeps its connection until it ends"


def test_request_waits_for_a_pause_to_end(pooler, site):
    site()
    if pooler.mode == "session":
        pytest.skip("PgBouncer waits for the sessions to end")
    pooler.tell("PAUSE")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(site)
        wait_until(lambda: clients(pooler, "waiting"))
        pooler.tell("RESUME")
        assert answer.result(60)


def test_server_that_ends_its_connections_fails_no_request(pooler, site):
    before = site()
    assert end_connections() > 0
    wait_until(lambda: not backends(before))
    assert site() != before


def test_request_without_a_connection_to_the_server_is_unavailable(pooler, site):
    pooler.write(default_pool_size=1, query_wait_timeout=1)
    pooler.tell("RELOAD")
    with psycopg.connect(pooler.url) as other:
        other.execute("SELECT 1")  # a transaction, which keeps the one connection
        with pytest.raises(OperationalError):
            site()
    assert site()


@pytest.mark.parametrize("server", SERVERS)
def test_site_is_unavailable_while_the_pooler_is_gone(pooler, server, alice):
    variables = {"DATABASE_URL": pooler.url, "DATABASE_POOLER": pooler.mode}
    with serve(server, **variables) as (port, said):
        token = json.loads(send(port, LOGIN)[1])["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Host": "testserver"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

            def statuses():
                return {client.get("/api/v1/me", headers=headers).status_code for _ in range(5)}

            assert statuses() == {200}
            pooler.stop()
            assert statuses() == {503}
            pooler.start()
            assert statuses() == {200}
            assert end_connections() > 0
            assert statuses() <= {200, 503}
            assert statuses() == {200}
    assert "Traceback" not in "\n".join(said)


def backends(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchall()


def clients(pooler, state=""):
    """How many are connected, but for the one that asks."""
    rows = pooler.tell("SHOW CLIENTS")
    return sum(row[2] != "pgbouncer" and (not state or state in row) for row in rows)


def wait_until(holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")
