"""Each request has an id: in its lines of the log, in its answer, and on error pages."""

import json
import logging
import re
from io import StringIO
from ipaddress import ip_network

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.urls import path

from config.logs import JSONFormatter
from config.urls import handler500, urlpatterns  # noqa: F401 -- the site's own error page
from tests.plugins.guestlist import PASSWORD

GIVEN = "7F000001:8296_7f-00.00@1"
NEW = re.compile("[0-9a-f]{16}")


def broken(request):
    raise ValueError("a fault")


urlpatterns = [path("broken", broken), path("api/broken", broken), *urlpatterns]


@pytest.fixture
def log():
    """The lines of the log, as the console handler writes them."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def behind_proxy(settings):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]


def ask(given, address="10.0.0.1"):
    headers = {"x-request-id": given, "x-forwarded-for": "203.0.113.9"}
    return Client().get("/nothing", headers=headers, REMOTE_ADDR=address).headers["X-Request-ID"]


def test_id_of_a_trusted_proxy_is_kept(behind_proxy):
    assert ask(GIVEN) == GIVEN
    assert ask("x" * 128) == "x" * 128


def test_id_of_anybody_else_is_replaced(behind_proxy):
    assert NEW.fullmatch(ask(GIVEN, "203.0.113.1"))
    assert NEW.fullmatch(ask(GIVEN, ""))


@pytest.mark.asvs("16.4.1")
@pytest.mark.parametrize(
    "given",
    [
        "",
        "x" * 7,
        "x" * 129,
        "12345678\n",
        "12345678\r\nSet-Cookie: a=b",
        '12345678","event":"signed in',
        "<script>alert(1)</script>",
        "12345678,12345678",  # a repeated header
        "1234 5678",
        "\u0661" * 8,
        "\x00" * 8,
    ],
)
def test_id_that_could_be_more_than_an_id_is_replaced(behind_proxy, given):
    assert NEW.fullmatch(ask(given))


def test_each_request_has_its_own(client):
    assert len({client.get("/nothing").headers["X-Request-ID"] for _ in range(20)}) == 20


def test_lines_of_a_request_have_its_id(log, api, alice):
    answer = api().http.post("/api/v1/login", {"username": "alice", "password": PASSWORD})
    [line] = [line for line in log() if line["event"] == "signed in"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    logging.getLogger("tokens").warning("of no request")
    assert "request_id" not in log()[-1]


@pytest.mark.urls(__name__)
def test_people_are_told_the_id_of_a_request_that_went_wrong(log):
    tab = Client(raise_request_exception=False)
    page = tab.get("/broken")
    number = page.headers["X-Request-ID"]
    assert page.status_code == 500
    assert f"tell us this number: <code>{number}</code>" in page.content.decode()
    assert log()[-1]["request_id"] == number

    answer = tab.get("/api/broken")
    assert answer.headers["X-Request-ID"] != number
    assert set(answer.json()) == {"detail", "code"}


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/devices/", "/api/v1/me"])
def test_answer_without_the_database_has_the_id_of_its_line(log, browser, alice, url):
    tab = browser(alice)

    def gone(*args):
        raise OperationalError("gone")

    with connection.execute_wrapper(gone):
        answer = tab.get(url)
    assert answer.status_code == 503
    [line] = [line for line in log() if line["event"] == "unavailable"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    if url == "/devices/":
        assert answer.content.decode().endswith(f"tell us this number: {line['request_id']}\n")
