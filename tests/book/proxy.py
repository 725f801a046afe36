"""What nginx does for the site: it keeps unfinished requests away, and its log has no secrets."""

import socket
import ssl
import urllib.error
import urllib.request

UNFINISHED = 64
HEAD = (
    b"POST /api/v1/login HTTP/1.1\r\nHost: example.org\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{"
)


def hold() -> socket.socket:
    connection = ssl.create_default_context().wrap_socket(
        socket.create_connection(("example.org", 443)), server_hostname="example.org"
    )
    connection.sendall(HEAD)
    return connection


def ask(path: str) -> int:
    try:
        with urllib.request.urlopen(f"https://example.org{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


held = [hold() for _ in range(UNFINISHED)]
assert ask("/login") == 200
for connection in held:
    connection.close()
for path in (
    "/login?secret-of-the-query",
    "/email/secret-of-the-path",
    "/not-me/secret-of-the-path",
    "/password/reset/MQ/secret-of-the-path",
    "/account/passkeys/first/secret-of-the-path",
):
    assert ask(path) < 500
