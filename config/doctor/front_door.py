"""A site as its clients reach it: over the network, by its address."""

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from config.environment import is_loopback

TIMEOUT = 10  # seconds for a connection, and for each part of an answer
MAX_BODY = 8_000_000  # bytes of an answer
HTTP_PORT = 80
USER_AGENT = "Guestlist doctor"
EXAMPLE = "It must be the address of the site without a path: https://example.org"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> dict[str, Any]:
        """The object in the body. Empty if there is none."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


class FrontDoor:
    """The site at `url`, of which only scheme, host and port count.

    Raise ValueError for another kind of URL. The message does not repeat it, because a password may
    be in it.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self.port = parts.port or (443 if parts.scheme == "https" else 80)
            self.host = (parts.hostname or "").encode("idna").decode()
        except ValueError:
            raise ValueError(EXAMPLE) from None
        self.scheme = parts.scheme
        if not url.isprintable() or self.scheme not in ("http", "https") or not self.host:
            raise ValueError(EXAMPLE)
        if "@" in parts.netloc:
            raise ValueError("It must not hold a name or a password.")
        if parts.path not in ("", "/") or parts.query or parts.fragment or "%" in self.host:
            raise ValueError(EXAMPLE)
        named = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == (443 if self.scheme == "https" else 80)
        self.origin = f"{self.scheme}://{named}{'' if is_usual else f':{self.port}'}"
        self.context = ssl.create_default_context()
        self.distrust = ""  # why its certificate does not verify
        self.certificate: dict[str, Any] = {}
        self.tls_version = ""
        self.has_answered = False
        # The addresses of the connection: that of the site or its proxy, and that of this machine.
        self.peer = self.own_address = ""

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return is_loopback(self.peer) if self.scheme == "http" else not self.distrust

    def get(self, path: str, **headers: str) -> Answer:
        """The answer to a GET. Redirects are not followed."""
        with closing(self.connect()) as connection:
            answer = ask(connection, path, headers)
        self.has_answered = True
        return answer

    def get_over_http(self, path: str) -> Answer:
        """The answer of the same host at HTTP_PORT."""
        with closing(
            http.client.HTTPConnection(self.host, HTTP_PORT, timeout=TIMEOUT)
        ) as connection:
            return ask(connection, path, {})

    def connect(self) -> http.client.HTTPConnection:
        """A new connection. If the certificate does not verify, note why, and go on."""
        try:
            return self.connect_with(self.context)
        except ssl.SSLCertVerificationError as error:
            self.distrust = error.verify_message or "it is not valid"
            self.context = ssl._create_unverified_context()  # noqa: S323 -- only to look at it
            return self.connect_with(self.context)

    def connect_privately(self) -> http.client.HTTPConnection:
        """A new connection that may carry a token. Raise OSError if it is not private."""
        connection = self.connect_with(self.context)
        if not self.is_private:
            connection.close()
            raise ConnectionError("others could read the token on the way")
        return connection

    def connect_with(self, context: ssl.SSLContext) -> http.client.HTTPConnection:
        """A new connection. Note its addresses and its certificate."""
        connection = (
            http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=context)
            if self.scheme == "https"
            else http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        )
        connection.connect()
        self.peer = connection.sock.getpeername()[0]
        self.own_address = connection.sock.getsockname()[0]
        if isinstance(connection.sock, ssl.SSLSocket):
            self.certificate = connection.sock.getpeercert() or {}
            self.tls_version = connection.sock.version() or ""
        return connection


def claim(header: str, value: str) -> dict[str, str]:
    """The header in both spellings. X-Request-ID and X_Request_ID are one name in WSGI.

    Some proxies pass the second one on, and with some servers it takes the place of the first.
    """
    return {header: value, header.replace("-", "_"): value}


def ask(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> Answer:
    """Send a GET on this connection. Raise ValueError for an answer above MAX_BODY."""
    defaults = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    connection.request("GET", path, headers=defaults | headers)
    response = connection.getresponse()
    body = response.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise ValueError(f"the answer to {path} is larger than {MAX_BODY // 1_000_000} MB")
    if response.length:  # bytes that were announced and never came
        raise http.client.IncompleteRead(body, response.length)
    return Answer(response.status, response.headers, body)
