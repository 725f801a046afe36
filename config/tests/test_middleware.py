"""What every answer carries, whoever made it, and what no address is asked for."""

import os
import re
import subprocess
import sys
from ipaddress import ip_network

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client

from config.middleware import ClientAddressMiddleware, HeadersMiddleware
from config.tests.processes import BASE_DIR
from tests.plugins.guestlist import PASSWORD

HTML = {"accept": "text/html"}
POLICY = [
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
]


def without_database(client):
    def gone(*args):
        raise OperationalError

    with connection.execute_wrapper(gone):
        return client.get("/devices/", secure=True)


ANSWERS = {
    "page": (lambda c: c.get("/devices/", secure=True), 200),
    "page of the admin": (lambda c: c.get("/admin/", secure=True), 200),
    "browsable API": (lambda c: c.get("/api/v1/me", headers=HTML, secure=True), 200),
    "JSON": (lambda c: c.get("/api/v1/me", secure=True), 200),
    "redirect": (lambda c: c.get("/", secure=True), 302),
    "refused form": (lambda c: c.post("/login", {}, secure=True), 200),
    "no credentials": (lambda c: Client().get("/api/v1/me", secure=True), 401),
    "no permission": (lambda c: Client().get("/admin/", secure=True), 302),
    "unknown page": (lambda c: c.get("/nothing", secure=True), 404),
    "unknown endpoint": (lambda c: c.get("/api/nothing", secure=True), 404),
    "method": (lambda c: c.get("/logout", secure=True), 405),
    "host": (lambda c: c.get("/", headers={"host": "evil.example"}, secure=True), 400),
    "without the database": (without_database, 503),
    "static file": (lambda c: c.get("/static/guestlist.js", secure=True), 200),
}


@pytest.mark.asvs("3.4.1", "3.4.3", "3.4.4", "3.4.5", "3.4.6", "14.3.2")
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_carries_the_headers(browser, root, name):
    ask, status = ANSWERS[name]

    answer = ask(browser(root, raise_request_exception=False))
    answer.close()

    assert answer.status_code == status
    headers = answer.headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert set(POLICY) <= set(headers["Content-Security-Policy"].split("; "))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert re.fullmatch("[0-9a-f]{16}", headers["X-Request-ID"])
    if name != "static file":
        assert "no-store" in headers["Cache-Control"]


@pytest.mark.asvs("3.4.3")
def test_way_to_tls_carries_the_policy(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/login")
    assert (answer.status_code, answer.url) == (301, "https://testserver/login")
    assert set(POLICY) <= set(answer.headers["Content-Security-Policy"].split("; "))


@pytest.mark.asvs("4.1.2")
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/me", "/api/v1/login", "/api/nothing"])
def test_api_without_tls_is_refused_and_not_redirected(api, alice, settings, method, path):
    phone = api(alice)
    settings.SECURE_SSL_REDIRECT = True
    headers = {"authorization": f"Bearer {phone.pair['access_token']}"}

    answer = Client().generic(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "tls_required")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "Location" not in answer.headers

    assert Client().generic(method, path, headers=headers, secure=True).status_code != 403


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("status", [200, 404, 405, 500, 501])
def test_debug_pages_of_django_alone_are_without_the_policy(rf, settings, debug, status):
    settings.DEBUG = debug
    middleware = HeadersMiddleware(lambda request: HttpResponse(status=status))
    has_policy = "Content-Security-Policy" in middleware(rf.get("/")).headers
    assert has_policy == (not debug or status not in (404, 500))


@pytest.mark.asvs("13.4.4")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("url", ["/admin/", "/api/v1/me", "/nothing"])
def test_method_that_answers_what_was_sent_is_refused(client, method, url):
    answer = client.generic(method, url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "")
    assert answer.json() == {"detail": "Method not allowed.", "code": "method_not_allowed"}


@pytest.fixture
def heard(rf, settings):
    """What a request with these headers and META is after the middleware behind a proxy."""
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    def process(headers, **meta):
        request = rf.get("/", headers=headers, **meta)
        if not meta:
            del request.META["REMOTE_ADDR"]
        middleware = ClientAddressMiddleware(lambda request: HttpResponse())
        middleware.process_request(request)
        middleware.process_response(request, HttpResponse())
        return request

    return process


@pytest.mark.asvs("4.1.3")
@pytest.mark.parametrize(
    ("meta", "address", "is_secure"),
    [
        ({"REMOTE_ADDR": "10.0.0.1"}, "203.0.113.9", True),
        ({"REMOTE_ADDR": "203.0.113.1"}, "203.0.113.1", False),
        ({"REMOTE_ADDR": "unix:"}, "", False),
        ({}, "", False),
    ],
)
def test_only_a_trusted_proxy_speaks_for_its_client(heard, meta, address, is_secure):
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    request = heard(headers, **meta)
    assert (request.META["REMOTE_ADDR"], request.is_secure()) == (address, is_secure)


def test_proxy_that_tells_nothing_is_the_client(heard):
    request = heard({}, REMOTE_ADDR="10.0.0.1")
    assert (request.META["REMOTE_ADDR"], request.is_secure()) == ("10.0.0.1", False)


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4")
def test_every_cookie_is_for_this_host_alone(browser, alice):
    """Also the one with a message: it is in the session."""
    tab = browser(alice)
    device = alice.devices.get()
    tab.post(f"/devices/{device.pk}/rename/", {"name": "Desk"})
    assert "Renamed to Desk." in tab.get("/devices/").content.decode()

    assert set(tab.cookies) == {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    for name, cookie in tab.cookies.items():
        assert name.startswith("__Host-")
        assert (cookie["secure"], cookie["samesite"]) == (True, "Lax")
        assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert tab.cookies[settings.SESSION_COOKIE_NAME]["httponly"] is True


@pytest.mark.parametrize(
    ("header", "status", "code", "error"),
    [
        ("Bearer", 400, "invalid_request", "invalid_request"),
        ("Bearer a b", 400, "invalid_request", "invalid_request"),
        ("Bearer_a", 400, "invalid_request", "invalid_request"),
        ("bearer ä", 400, "invalid_request", "invalid_request"),
        ("Bearer " + "a" * 8193, 400, "invalid_request", "invalid_request"),
        ("Bearer a", 401, "token_invalid", "invalid_token"),
        ("BEARER   a", 401, "token_invalid", "invalid_token"),
        ("Bearera b", 401, "not_authenticated", None),
        ("Basic YTpi", 401, "not_authenticated", None),
        ("", 401, "not_authenticated", None),
    ],
)
def test_header_that_cannot_be_read_is_an_error_of_its_own(api, db, header, status, code, error):
    answer = api().get("me", authorization=header)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    challenge = 'Bearer realm="api"' + (f', error="{error}"' if error else "")
    assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.asvs("14.2.1")
@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "bearer", "jwt"])
def test_token_in_the_address_is_not_read(api, alice, name):
    token = api(alice).pair["access_token"]
    answer = api().get(f"me?{name}={token}")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.asvs("14.2.1", "7.6.2")
@pytest.mark.parametrize("url", ["/login", "/admin/login/", "/api/v1/login"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_password_in_the_address_is_not_read(client, alice, url, method):
    answer = client.generic(
        method, url, QUERY_STRING=f"username=alice&password={PASSWORD.replace(' ', '+')}"
    )
    assert answer.status_code in (200, 400, 405, 415)
    assert not alice.devices.exists()


# CORS


@pytest.mark.parametrize(
    ("origins", "is_there"), [("", False), ("https://app.example", True), ("*", True)]
)
def test_middleware_of_cors_is_there_where_an_origin_is_allowed(origins, is_there):
    code = "from django.conf import settings; print(*settings.MIDDLEWARE)"
    environment = {**os.environ, "CORS_ALLOWED_ORIGINS": origins}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [path.rpartition(".")[2] for path in done.stdout.split()]
    assert ("CorsMiddleware" in names) is is_there
    if is_there:  # before what may answer by itself, so that a script may read that too
        assert names.index("CorsMiddleware") < names.index("CommonMiddleware")
