"""What is counted for Prometheus, and that nothing a stranger sends becomes a label."""

import logging

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client
from django.test.client import MULTIPART_CONTENT
from django.urls import path

from accounts import hashers
from config import metrics
from config.tests.test_request_ids import broken
from config.urls import handler500, urlpatterns  # noqa: F401 -- the site's own error page
from tests.plugins.guestlist import PASSWORD
from tokens.models import IssuedToken
from tokens.tests.test_costs import calls_of

JSON = "application/json"
urlpatterns = [path("api/broken", broken), *urlpatterns]


@pytest.fixture(autouse=True)
def on(settings):
    """As with METRICS_PORT: the middleware, and the counting of the log."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:1],
        "config.metrics.measure",
        *settings.MIDDLEWARE[1:],
    ]
    apps = [logging.getLogger(app) for app in metrics.APPS]
    levels = [app.level for app in apps]
    metrics.count_events()
    yield
    for app, level in zip(apps, levels, strict=True):
        app.setLevel(level)
        app.handlers = [one for one in app.handlers if not isinstance(one, metrics.Counting)]
    for handler in logging.getLogger().handlers:
        handler.removeFilter(metrics.is_printed)


def series():
    """What is counted so far, as `{"name{label}": value}`."""
    return {
        f"{sample.name[10:]}{{{','.join(sample.labels.values())}}}": sample.value
        for metric in metrics.REGISTRY.collect()
        for sample in metric.samples
        if not sample.name.endswith(("_created", "_bucket", "_sum"))
    }


@pytest.fixture
def counted():
    """`counted(act)` is what the act added."""

    def added(act):
        before = series()
        act()
        changes = {name: value - before.get(name, 0) for name, value in series().items()}
        return {name: change for name, change in changes.items() if change}

    return added


def test_sign_in_is_counted_by_kind(counted, api, browser, alice):
    assert counted(lambda: api(alice)) == {
        "sign_ins_total{api}": 1,
        "responses_total{200}": 1,
        "request_seconds_count{sign_in}": 1,
    }
    assert counted(lambda: browser(alice))["sign_ins_total{browser}"] == 1


@pytest.mark.parametrize(("url", "kind"), [("/login", MULTIPART_CONTENT), ("/api/v1/login", JSON)])
def test_refused_sign_in_is_counted(counted, client, alice, url, kind):
    body = {"username": "alice", "password": "not my password"}
    added = counted(lambda: client.post(url, body, kind))
    assert added["sign_ins_refused_total{}"] == 1
    assert added["request_seconds_count{sign_in}"] == 1
    assert added.get("refusals_total{login_failed}") == (1 if kind == JSON else None)


def test_refreshes_and_reuse_are_counted(counted, api, alice):
    phone = api(alice)
    first = {"refresh_token": phone.pair["refresh_token"]}

    def refresh():
        return phone.http.post("/api/v1/refresh", first)

    def rotate():
        phone.keep(refresh().json())

    assert counted(rotate)["refreshes_total{rotated}"] == 1
    again = counted(refresh)
    assert again["refreshes_total{answered_again}"] == 1
    assert "refreshes_total{rotated}" not in again
    phone.http.post("/api/v1/refresh", {"refresh_token": phone.pair["refresh_token"]})
    reused = counted(refresh)
    assert reused["alarms_total{reuse}"] == 1
    assert reused["revocations_total{reuse}"] == 1
    assert reused["refusals_total{refresh_invalid}"] == 1
    assert reused["request_seconds_count{refresh}"] == 1


def test_token_ahead_is_counted(counted, api, alice):
    phone = api(alice)
    ahead = phone.post("refresh", {"refresh_token": phone.pair["refresh_token"]}).json()
    IssuedToken.objects.update(generation=1)
    added = counted(lambda: phone.post("refresh", {"refresh_token": ahead["refresh_token"]}))
    assert added["refresh_tokens_ahead_total{}"] == 1
    assert added["refusals_total{token_invalid}"] == 1


def test_revocations_are_counted_by_reason_and_number(counted, api, alice):
    phone, _, _ = api(alice), api(alice), api(alice)
    assert counted(lambda: phone.post("logout/all"))["revocations_total{user}"] == 3


def test_everyday_refusals_are_counted_and_not_printed(counted, client):
    printed = logging.Handler()
    printed.lines = []
    printed.emit = lambda record: printed.lines.append(record.getMessage())
    logging.getLogger().addHandler(printed)
    metrics.count_events()
    another = logging.getLogger("another_app")
    another.setLevel(logging.DEBUG)
    try:
        added = counted(lambda: client.get("/api/v1/me"))
        another.debug("of another app")
        logging.getLogger("tokens").info("an event")
    finally:
        logging.getLogger().removeHandler(printed)
        another.setLevel(logging.NOTSET)
    assert added["refusals_total{not_authenticated}"] > 0
    assert printed.lines == ["of another app", "an event"]


def test_measuring_takes_few_calls(rf):
    """A count and not a time."""
    request, response = rf.get("/api/v1/me"), HttpResponse()
    middleware = metrics.measure(lambda request: response)
    middleware(request)

    answer, calls = calls_of(middleware, request)

    assert answer is response
    assert calls <= 30


def test_locks_are_counted(counted, api, alice):
    client = api()

    def guess():
        for _ in range(6):
            client.post("login", {"username": "alice", "password": "not my password"})

    added = counted(guess)
    assert added["locks_total{login_pair}"] == 2  # of the name and of the account
    assert added["refusals_total{throttled}"] == 1


def test_wait_for_a_hash_is_counted(counted, settings, monkeypatch, client, alice):
    monkeypatch.setattr(hashers, "MAX_WAIT", 0.1)
    held = [hashers.places().acquire() for _ in range(settings.MAX_CONCURRENT_HASHES)]
    body = {"username": "alice", "password": PASSWORD}
    try:
        added = counted(lambda: client.post("/api/v1/login", body, JSON))
    finally:
        for _ in held:
            hashers.places().release()
    assert added["hash_waits_total{}"] == 1
    assert added["unavailable_total{Busy}"] == 1
    assert added["responses_total{503}"] == 1


def test_answers_without_the_database_are_counted_by_their_error(counted, browser, alice):
    tab = browser(alice, raise_request_exception=False)

    def gone(*args):
        raise OperationalError("gone")

    def ask():
        with connection.execute_wrapper(gone):
            tab.get("/devices/")

    assert counted(ask) == {
        "unavailable_total{OperationalError}": 1,
        "responses_total{503}": 1,
        "request_seconds_count{page}": 1,
    }


@pytest.mark.urls(__name__)
def test_faults_are_counted(counted):
    client = Client(raise_request_exception=False)
    assert counted(lambda: client.get("/api/broken"))["responses_total{500}"] == 1


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("/", "page"),
        ("/nothing", "page"),
        ("/api/v1/nothing", "api"),
        ("/api/v1/refresh/x", "api"),
        ("/admin/", "admin"),
        ("/admin/login/", "sign_in"),
        ("/static/guestlist.css", "static"),
        ("/static/nothing", "static"),
    ],
)
def test_durations_are_grouped(counted, db, client, url, group):
    added = counted(lambda: client.get(url).close())
    assert added[f"request_seconds_count{{{group}}}"] == 1


@pytest.mark.django_db
def test_what_strangers_send_makes_no_series(client, alice):
    """Paths, methods, hosts, names, codes, headers: the series stay as few as they are."""

    def ask(number):
        strange = f"strange-{number}"
        named = {"user-agent": strange, "x-request-id": strange, "referer": strange}
        client.get(f"/{strange}", headers=named)
        client.get(f"/api/{strange}", headers={"host": f"{strange}.example"})
        client.generic(strange.upper(), "/api/v1/me", headers=named)
        client.get("/api/v1/me", headers={"authorization": f"Bearer {strange}"}, **from_(number))
        client.post("/api/v1/login", {"username": strange, "password": strange}, JSON)
        client.post("/api/v1/login", {"code": strange}, JSON)

    def from_(number):
        return {"REMOTE_ADDR": f"10.0.0.{number}"}

    ask(0)
    before = set(series())
    for number in range(1, 4):
        ask(number)
    assert set(series()) == before
    assert not any("strange" in name for name in before)


def test_line_of_another_app_breaks_nothing(counted, capsys):
    logger = logging.getLogger("tokens.other")
    assert counted(lambda: logger.info("signed in")) == {}
    assert counted(lambda: logger.info(["a list"])) == {}
    assert "signed in" in capsys.readouterr().err
