"""A network that loses answers, between a client and the site."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fate(Enum):
    ANSWERED = auto()
    LOST_BEFORE = auto()  # The site never hears of the request.
    LOST_AFTER = auto()  # The site has done it, the client never hears of it.
    HELD_AFTER = auto()  # As before, but the client is left waiting.
    UNAVAILABLE = auto()  # A gateway answers in its place.
    UNAUTHORIZED = auto()  # As before, and says that it does not know the client.


class Proxy(ThreadingHTTPServer):
    """Forwards to `site` what `fate(path)` lets through, and a browser's preflights. `answers`
    lists what the site answered, as (path, status), delivered or not."""

    def __init__(self, site: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(site).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.fate: Callable[[str], Fate] = lambda path: Fate.ANSWERED
        self.unauthorized = b'{"message": "Unauthorized"}'
        self.answers: list[tuple[str, int]] = []
        self.holds, self.closed = threading.Event(), threading.Event()

    def server_close(self) -> None:
        self.closed.set()
        super().server_close()

    def statuses(self, path: str) -> list[int]:
        return [status for asked, status in self.answers if asked == f"/api/v1/{path}"]


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline()
        if self.raw_requestline and self.parse_request():
            preflight = self.command == "OPTIONS"
            self.pass_on(Fate.ANSWERED if preflight else self.server.fate(self.path))
        self.close_connection = True

    def pass_on(self, fate: Fate) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fate is Fate.LOST_BEFORE:
            return
        if fate is Fate.UNAVAILABLE:
            self.send_response_only(502)
            self.end_headers()
            return
        if fate is Fate.UNAUTHORIZED:
            self.send_response_only(401)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(self.server.unauthorized)
            return
        status, headers, content = self.ask_site(body)
        if self.command != "OPTIONS":
            self.server.answers.append((self.path, status))
        if fate is Fate.HELD_AFTER:
            self.server.holds.set()
            self.server.closed.wait(60)
        if fate is Fate.ANSWERED:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def ask_site(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        site = HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {**dict(self.headers.items()), "Connection": "close"}
            site.request(self.command, self.path, body, headers)
            answer = site.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            site.close()


@contextmanager
def serve(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    """The server, answering in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
