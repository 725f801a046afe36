"""`doctor --url`: what it says of servers that are in order, misconfigured, broken or hostile."""

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from config import doctor
from config.doctor import (
    FRONT_DOOR,
    examine_front_door,
    front_door,
    measure_revocation,
    revocation,
    tls,
    url,
)
from config.doctor.front_door import FrontDoor
from config.tests.processes import database_url
from config.tests.test_servers import serve
from tokens.models import IssuedToken

HSTS = "max-age=31536000; includeSubDomains; preload"


class Site(BaseHTTPRequestHandler):
    """A site in order. A test changes what `pages` has: status, headers and body of a path."""

    protocol_version = "HTTP/1.1"
    pages: dict
    seen: list

    def do_GET(self):
        self.seen.append((self.path, dict(self.headers)))
        page = self.pages.get(self.path, (404, [], b""))
        status, headers, body = page(self) if callable(page) else page
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 100  # with the default of 5, connections at the same time get lost


@pytest.fixture
def site(settings, tmp_path):
    """A server whose `pages` a test changes; `door` leads there. Its settings are right for it."""

    class Handler(Site):
        pages, seen = {}, []

    server = Server(("127.0.0.1", 0), Handler)
    server.pages, server.seen, server.daemon_threads = Handler.pages, Handler.seen, True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.origin = f"http://127.0.0.1:{server.server_address[1]}"
    settings.SITE_URL = server.origin
    settings.STATIC_ROOT = tmp_path
    settings.STATIC_URL = "/static/"
    settings.CSRF_COOKIE_NAME = "csrftoken"
    settings.SECURE_HSTS_SECONDS = 31536000
    (tmp_path / "guestlist.1.css").write_bytes(b"body {}")
    names = {"paths": {"guestlist.css": "guestlist.1.css"}}
    (tmp_path / "staticfiles.json").write_text(json.dumps(names))
    server.pages |= {
        "/login": in_order,
        "/api/v1/": index_of(server.origin),
        "/static/guestlist.1.css": (200, [], b"body {}"),
    }
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def in_order(request):
    if request.headers["Host"] == "doctor.invalid":
        return 400, [], b""
    page = b'<link href="/static/guestlist.1.css">'
    return 200, [("Set-Cookie", "csrftoken=a; Path=/"), ("X-Request-ID", "made-here")], page


def index_of(origin):
    return 200, [], json.dumps({"login": f"{origin}/api/v1/login"}).encode()


def look(site):
    """What each check finds, as (level, message)."""
    found = examine_front_door(FrontDoor(site.origin))
    return {name: (finding.level, finding.message) for name, finding in found.items()}


def test_site_in_order(site):
    assert {level for level, _ in look(site).values()} == {"ok"}
    assert {path for path, _ in site.seen} == {
        "/login",
        "/api/v1/",
        "/static/guestlist.1.css",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def believing_underscores(request):
    return believing(request, "X_Forwarded_Proto")


def redirecting(where):
    return lambda request: (301, [("Location", where)], b"")


def echoing(request):
    told = request.headers["X-Request-ID"] or "made-here"
    return 200, [("X-Request-ID", told), ("Set-Cookie", "csrftoken=a")], b""


def echoing_underscores(request):
    told = request.headers["X_Request_ID"] or "made-here"
    return 200, [("X-Request-ID", told), ("Set-Cookie", "csrftoken=a")], b""


def believing(request, header="X-Forwarded-Proto"):
    scheme = request.headers[header] or "http"
    return index_of(f"{scheme}://{request.headers['Host']}")


TABLE = [
    ("/login", redirecting("/login"), "url", "error", "leads to itself"),
    ("/login", redirecting("https://example.org/a?secret=b"), "url", "warning", "example.org/a."),
    ("/login", redirecting("http://[half"), "url", "warning", "leads to nowhere"),
    ("/login", (502, [], b""), "url", "error", "answers 502"),
    ("/login", (200, [], b""), "url cookies", "error", "no cookie csrftoken"),
    (
        "/login",
        (200, [("Set-Cookie", "csrftoken=a; Secure")], b""),
        "url cookies",
        "warning",
        "no secure cookie over plain http",
    ),
    ("/login", (200, [], b""), "url host", "warning", "any host"),
    ("/login", echoing, "url claims", "warning", "request id"),
    ("/login", echoing_underscores, "url claims", "warning", "request id"),
    (
        "/login",
        (200, [], b'"/static/guestlist.0.css"'),
        "url static files",
        "error",
        "another version",
    ),
    ("/api/v1/", index_of("https://127.0.0.1"), "url scheme", "error", "plain http for https"),
    ("/api/v1/", index_of("http://inner:8000"), "url host", "error", "lead to inner:8000"),
    ("/api/v1/", believing, "url claims", "warning", "claims https"),
    ("/api/v1/", believing_underscores, "url claims", "warning", "claims https"),
    ("/api/v1/", (200, [], b"[" * 99999), "url scheme", "error", "and not its links"),
    ("/api/v1/", (200, [], b'{"login": 3}'), "url scheme", "error", "and not its links"),
    ("/api/v1/", (403, [], b'{"code": "tls_required"}'), "url scheme", "ok", "refuses plain"),
    ("/static/guestlist.1.css", (404, [], b""), "url static files", "error", "answers 404"),
    ("/static/guestlist.1.css", (200, [], b"a"), "url static files", "error", "other bytes"),
    ("/metrics", (200, [], b"sign_ins 3"), "url health", "error", "/metrics"),
    ("/readyz", (503, [], b""), "url health", "error", "not ready"),
    ("/readyz", (503, [], b'{"failed": ["keys"]}'), "url health", "error", "not ready: keys."),
]


@pytest.mark.parametrize(("path", "page", "check", "level", "words"), TABLE)
def test_what_is_not_in_order(site, path, page, check, level, words):
    site.pages[path] = page
    found = look(site)[check]
    assert found[0] == level
    assert words in found[1]
    assert "secret" not in found[1]


def test_health_is_told(site):
    site.pages |= {"/healthz": (200, [], b""), "/readyz": (200, [], b"")}
    assert look(site)["url health"] == ("ok", "The server is alive and ready.")


def test_another_address_than_that_of_mails_is_a_warning(site, settings):
    settings.SITE_URL = "https://example.org"
    assert look(site)["url host"][0] == "warning"


# Servers that are broken or hostile


def answering(content):
    def answer(connection):
        connection.recv(65536)
        connection.sendall(content)

    return answer


def hanging(connection):
    time.sleep(3)


def dripping(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        connection.sendall(b"a")
        time.sleep(0.2)


def putting_off(connection):
    connection.recv(65536)
    for _ in range(1000):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def flooding(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"a" * 1_000_000)


@pytest.fixture
def hostile():
    """`hostile(answer)` is the address of a server that does that with each connection."""
    import socketserver

    servers = []

    def start(answer):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    answer(self.request)
                except OSError:
                    pass

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hanging, "TimeoutError"),
        (dripping, "TimeoutError"),
        (putting_off, "TimeoutError"),
        (flooding, "larger than"),
        (answering(b""), "RemoteDisconnected"),
        (answering(b"\xff\xfe\x00 garbage \x1b[31m\r\n\r\n" * 99), "BadStatusLine"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 999 + b"\r\n"), "more than 100 headers"),
        (answering(b"HTTP/1.1 200 OK\r\na: " + b"b" * 99999), "LineTooLong"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "IncompleteRead"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "Incomplete"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "BadStatusLine"),
    ],
)
def test_server_that_is_broken_or_hostile_is_one_error(hostile, monkeypatch, answer, words):
    monkeypatch.setattr(front_door, "TIMEOUT", 1)
    monkeypatch.setattr(doctor, "LOOK", 2)

    found = examine_front_door(FrontDoor(hostile(answer)))

    assert found["url"].level == "error"
    assert words in found["url"].message
    assert found["url"].message.isprintable()
    assert len(found["url"].message) < 400
    others = [finding for name, finding in found.items() if name != "url"]
    assert others == [doctor.NOT_ASKED] * (len(FRONT_DOOR) - 1)


def test_strange_headers_and_bodies_are_no_traceback(hostile):
    strange = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=\xfe; a\r\nSet-Cookie: csrf\x00token=\xe2\r\n"
        b"Strict-Transport-Security: max-age=99999999999999999999999999999999999999\r\n"
        b"X-Request-ID: \xff\r\nLocation: \xff\r\nConnection: close\r\n\r\n\xff\xfe{"
    )
    found = examine_front_door(FrontDoor(hostile(answering(strange))))
    assert found["url"].level == "ok"
    assert {finding.level for finding in found.values()} >= {"ok", "error"}
    assert all(finding.message.isprintable() for finding in found.values())


def test_nothing_that_listens_is_one_error():
    found = examine_front_door(FrontDoor("http://127.0.0.1:1"))
    assert "ConnectionRefusedError" in found["url"].message


# Addresses


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("https://EXAMPLE.org:8443", "https://example.org:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_address_is_read(address, origin):
    assert FrontDoor(address).origin == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "https://ana:our-secret@example.org",
        "https://our-secret@example.org",
        "https://example.org/our-secret",
        "https://example.org?our-secret",
        "https://example.org#our-secret",
        "https://example.org:99999",
        "https://example.org:our-secret",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://example.org\r\nHost: our-secret",
        "https://a..our-secret",
        f"https://{'a' * 70}.example",
    ],
)
def test_other_addresses_are_refused_without_repeating_them(address):
    with pytest.raises(CommandError) as refused:
        call_command("doctor", "--url", address)
    assert "our-secret" not in str(refused.value)


def test_address_with_a_password_is_not_repeated_on_the_terminal(db):
    from config.tests.test_manage import run

    done = run("doctor", "--url", "https://ana:our-secret@example.org")
    assert done.returncode != 0
    assert "our-secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# TLS


@pytest.fixture
def certificate(tmp_path):
    """`certificate(days)` makes one for 127.0.0.1 that signs itself: its file, with the key."""

    def make(days, name="IP:127.0.0.1"):
        path = tmp_path / f"{days}.pem"
        command = (
            f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=site -days {days} "
            f"-addext subjectAltName={name} -keyout {path}.key -out {path}"
        )
        subprocess.run(command.split(), check=True, capture_output=True)
        path.write_text(path.read_text() + Path(f"{path}.key").read_text())
        return path

    return make


@pytest.fixture
def over_tls(site, settings):
    """`over_tls(certificate)` is the site, over TLS."""

    def start(path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        site.socket = context.wrap_socket(site.socket, server_side=True)
        site.origin = site.origin.replace("http:", "https:")
        settings.SITE_URL = site.origin
        site.pages["/api/v1/"] = index_of(site.origin)
        return site

    return start


def secure(request):
    status, _, body = in_order(request)
    cookie = ("Set-Cookie", "csrftoken=a; Path=/; Secure")
    return status, [cookie, ("Strict-Transport-Security", HSTS)], body


def test_site_over_tls_is_in_order(over_tls, certificate, monkeypatch):
    path = certificate(90)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    site = over_tls(path)
    site.pages["/login"] = secure
    found = look(site)
    assert {level for level, _ in found.values()} == {"ok"}, found
    assert found["url tls"][1] == "TLSv1.3, and the certificate lasts 89 more days."


def test_certificate_that_ends_soon_is_a_warning(over_tls, certificate, monkeypatch):
    path = certificate(90)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    now = time.time()
    monkeypatch.setattr(tls.time, "time", lambda: now + 80 * 86_400)
    level, message = look(over_tls(path))["url tls"]
    assert (level, "9 more days" in message) == ("warning", True)


@pytest.mark.parametrize("name", ["IP:127.0.0.1", "DNS:other.example"])
def test_certificate_that_does_not_verify_is_an_error_and_the_rest_is_examined(
    over_tls, certificate, monkeypatch, name
):
    path = certificate(90, name)
    if name.startswith("DNS"):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    site = over_tls(path)
    site.pages["/login"] = secure

    found = look(site)

    assert found["url tls"][0] == "error"
    assert ("self-signed" if name.startswith("IP") else "mismatch") in found["url tls"][1]
    assert [check for check, (level, _) in found.items() if level != "ok"] == ["url tls"]
    assert measured(site) == "Not measured: others could read the token on the way."


def measured(site):
    door = FrontDoor(site.origin)
    examine_front_door(door)
    return measure_revocation(door, "nobody")["revocation"].message


def test_https_that_the_server_takes_for_http_is_told_with_what_to_do(over_tls, certificate):
    site = over_tls(certificate(90))
    site.pages |= {
        "/login": redirecting(f"{site.origin}/login"),
        "/api/v1/": (403, [], b'{"code": "tls_required"}'),
    }
    found = examine_front_door(FrontDoor(site.origin))
    for check in ("url", "url scheme", "url hsts"):
        assert found[check].level == "error"
        assert "TRUSTED_PROXIES" in found[check].hint


@pytest.mark.parametrize(
    ("headers", "level", "words"),
    [
        ([], "error", "no Strict-Transport-Security"),
        (["max-age=60"], "warning", "shorter"),
        ([HSTS, HSTS], "warning", "twice"),
        (["nothing"], "warning", "shorter"),
    ],
)
def test_hsts(over_tls, certificate, headers, level, words):
    site = over_tls(certificate(90))
    lines = [("Strict-Transport-Security", value) for value in headers]
    site.pages["/login"] = (200, lines, b"")
    found = look(site)
    assert found["url hsts"][0] == level
    assert words in found["url hsts"][1]
    assert found["url cookies"][0] == "error"


# Revocation


def test_revocation_needs_an_address(db):
    with pytest.raises(CommandError, match=r"--revocation needs --url\."):
        call_command("doctor", "--revocation", "alice")


@pytest.mark.parametrize("workers", ["1", pytest.param("4", marks=pytest.mark.slow)])
@pytest.mark.django_db(transaction=True)
def test_no_request_is_accepted_that_starts_after_the_revocation(alice, workers):
    variables = {"DATABASE_URL": database_url(), "WEB_CONCURRENCY": workers}
    with serve("gunicorn", **variables) as (port, _):
        door = FrontDoor(f"http://127.0.0.1:{port}")
        httpx.get(door.origin, timeout=100)  # the workers take a while to start
        examine_front_door(door)
        found = measure_revocation(door, "alice")

    assert found["revocation"].level == "ok", found
    figures = found["revocation"].figures
    assert (figures["refused"], figures["accepted_after"], figures["connections"]) == (200, 0, 16)
    assert figures["accepted_before"] >= 16
    assert found["url address"].message == (
        "The server saw 127.0.0.1, which is the address of this machine, or of a proxy on it."
    )
    [device] = IssuedToken.objects.with_state()
    assert (device.user, device.name) == (alice, "doctor --revocation")
    assert (device.state, device.revoked_reason) == ("revoked", "staff")
    assert device.revoked_note == revocation.NOTE


def test_token_is_not_sent_once_a_certificate_does_not_verify(over_tls, certificate, monkeypatch):
    """A certificate that verified at first, and is another one by now."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(80)))
    site = over_tls(certificate(90))
    door = FrontDoor(site.origin)
    door.has_answered = True
    made = revocation.Trial(None, "our-secret")

    with pytest.raises(ssl.SSLCertVerificationError):
        revocation.address(door, made)
    found = doctor.examine(lambda: revocation.refusals(door, made))

    assert found.level == "error"
    assert not site.seen


@pytest.mark.django_db(transaction=True)
def test_answers_that_a_proxy_keeps_are_an_error(site, alice, monkeypatch):
    """Whatever accepts after the revocation is told, and the device has ended all the same."""
    monkeypatch.setattr(revocation, "PATIENCE", 5)
    site.pages["/api/v1/me"] = (200, [], b"{}")
    door = FrontDoor(site.origin)
    examine_front_door(door)

    found = measure_revocation(door, "alice")["revocation"]

    assert found.level == "error"
    assert found.figures["accepted_after"] > 0
    assert IssuedToken.objects.get().revoked_at


@pytest.mark.django_db(transaction=True)
def test_device_ends_if_measuring_is_interrupted(alice):
    def interrupted():
        with revocation.trial(alice):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert IssuedToken.objects.get().revoked_at


@pytest.mark.django_db(transaction=True)
def test_limit_of_requests_is_told_by_status(site, alice):
    site.pages["/api/v1/me"] = (429, [], b"{}")
    door = FrontDoor(site.origin)
    examine_front_door(door)
    found = measure_revocation(door, "alice")
    assert found["url address"].message == "A new device is answered 429."
    assert "429" in found["revocation"].message
    assert IssuedToken.objects.get().revoked_at


def test_no_device_is_made_where_it_would_end_another(site, alice, settings):
    settings.MAX_DEVICES_PER_USER = 1
    door = FrontDoor(site.origin)
    examine_front_door(door)
    with revocation.trial(alice):
        found = measure_revocation(door, "alice")["revocation"]
    assert (found.level, "MAX_DEVICES_PER_USER" in found.message) == ("error", True)
    assert IssuedToken.objects.count() == 1


def test_no_device_is_made_for_an_inactive_or_unknown_user(site, alice):
    alice.is_active = False
    alice.save()
    door = FrontDoor(site.origin)
    examine_front_door(door)
    for name in ("alice", "nobody"):
        assert measure_revocation(door, name)["revocation"].level == "error"
    assert not IssuedToken.objects.exists()


@pytest.mark.parametrize(
    ("seen", "trusted", "level", "words"),
    [
        ("127.0.0.1", [], "warning", "or of a proxy on it"),
        ("127.0.0.1", ["127.0.0.1"], "warning", "or of a proxy on it"),
        ("8.8.8.8", [], "ok", "8.8.8.8"),
        ("10.0.0.1", [], "warning", "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.0/8"], "error", "a proxy of TRUSTED_PROXIES"),
        (revocation.MADE_UP, [], "error", "claims another address is believed"),
        (revocation.MADE_UP, ["127.0.0.1"], "ok", "it is a trusted proxy"),
        (None, [], "error", "no address"),
    ],
)
def test_address_that_the_server_saw(site, alice, settings, seen, trusted, level, words):
    settings.TRUSTED_PROXIES = [ip_network(one) for one in trusted]
    site.pages["/api/v1/me"] = (200, [], b"{}")
    with revocation.trial(alice) as made:
        IssuedToken.objects.filter(pk=made.device.pk).update(last_ip=seen)
        found = revocation.address(FrontDoor(site.origin), made)
    assert (found.level, words in found.message) == (level, True)
    _, headers = site.seen[-1]
    assert headers["X-Forwarded-For"] == headers["X_Forwarded_For"] == revocation.MADE_UP


@pytest.mark.parametrize(
    ("trusted", "level"), [([], "ok"), (["10.0.0.0/8"], "warning")], ids=["client", "proxy"]
)
def test_address_of_this_machine_in_its_network(settings, trusted, level):
    """A proxy on this machine that forwards no address looks like this machine."""
    settings.TRUSTED_PROXIES = [ip_network(one) for one in trusted]
    assert revocation._own("10.0.0.5").level == level


@pytest.fixture
def port_80(site, monkeypatch):
    """The site of the fixture, at the address http of an https address without a port."""
    door = FrontDoor("https://127.0.0.1")
    monkeypatch.setattr(front_door, "HTTP_PORT", site.server_address[1])
    return door


@pytest.mark.parametrize(
    ("page", "index", "level", "words"),
    [
        (redirecting("https://127.0.0.1/login"), (403, [], b""), "ok", "the API 403"),
        (redirecting("https://127.0.0.1/login"), redirecting("https://a"), "warning", "API leads"),
        (redirecting("http://127.0.0.1/a"), (403, [], b""), "error", "leads to plain http"),
        ((200, [], b""), (403, [], b""), "error", "answers over plain http"),
        ((404, [], b""), (200, [], b"{}"), "error", "answers over plain http"),
    ],
)
def test_port_80(site, port_80, page, index, level, words):
    site.pages |= {"/login": page, "/api/v1/": index}
    found = url.plain_http(port_80)
    assert (found.level, words in found.message) == (level, True), found


def test_closed_port_80_is_in_order(monkeypatch):
    monkeypatch.setattr(front_door, "HTTP_PORT", 1)
    assert url.plain_http(FrontDoor("https://127.0.0.1")).message == "Nothing answers there."
    assert url.plain_http(FrontDoor("https://127.0.0.1:8443")).message.startswith("Not examined")


def test_static_files_that_are_not_collected_are_an_error(site, settings):
    settings.STATIC_ROOT = "/nowhere"
    assert look(site)["url static files"] == ("error", "ValueError: They are not collected.")
