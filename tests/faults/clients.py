"""Clients of a site over TLS, quick enough to be many. This module imports nothing of the project.

So a process that runs it starts at once.
"""

import json
import random
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

HOST = "example.org"


class Connection:
    """A kept connection to this port of the loopback address, over TLS."""

    def __init__(self, port):
        self.port, self.socket, self.file = port, None, None
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def ask(self, request):
        """Status, headers and body of the answer to these bytes. Raise OSError without an answer.

        A request is sent twice if the server closed the kept connection before it answered.
        """
        was_kept = self.socket is not None
        try:
            return self._ask(request)
        except OSError:
            self.close()
            if not was_kept:
                raise
            return self._ask(request)

    def _ask(self, request):
        if self.socket is None:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket = self.context.wrap_socket(plain, server_hostname=HOST)
            self.file = self.socket.makefile("rb")
        self.socket.sendall(request)
        status, headers = self._head()
        length = headers.get("content-length")
        if length is not None:
            body = self.file.read(int(length))
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = b""
        if headers.get("connection") == "close":
            self.close()
        return status, headers, body

    def _head(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("no answer")
        headers = {"set-cookie": []}
        while (header := self.file.readline()) != b"\r\n":
            if not header:
                raise ConnectionError("half an answer")
            name, _, value = header.decode("latin-1").partition(":")
            if name.lower() == "set-cookie":
                headers["set-cookie"].append(value.strip())
            else:
                headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def _chunks(self):
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body

    def close(self):
        if self.socket is not None:
            self.file.close()
            self.socket.close()
        self.socket = None


def request(method, path, token=None, body=None, **headers):
    """The bytes of a request with JSON."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Accept: application/json"]
    content = b"" if body is None else json.dumps(body).encode()
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Seen:
    """What the clients of one process were answered. Times are those of CLOCK_MONOTONIC."""

    answers: Counter = field(default_factory=Counter)  # by status and code
    accepted: list = field(default_factory=list)  # (start, number of the device)
    refused: list = field(default_factory=list)  # the same
    times: list = field(default_factory=list)  # (start, seconds)


def use_devices(port, tokens, ended, refused, count, stop, results):
    """Use the devices on so many connections until `stop` is set, and put what was `Seen`.

    `ended` says how many devices have ended: the first ones. `refused` counts refusals.
    """
    seen = Seen()
    requests = [request("GET", "/api/v1/me", token) for token in tokens]
    threads = [
        threading.Thread(target=_use, args=(Connection(port), requests, ended, refused, stop, seen))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(seen)


def _use(connection, requests, ended, refused, stop, seen):
    while not stop.is_set():
        number = _choose(ended.value, len(requests))
        start = time.monotonic()
        try:
            status, _, body = connection.ask(requests[number])
        except OSError as error:
            seen.answers[type(error).__name__, None] += 1
            continue
        seen.times.append((start, time.monotonic() - start))
        seen.answers[status, json.loads(body).get("code") if status != 200 else None] += 1
        if status == 200:
            seen.accepted.append((start, number))
        elif status == 401:
            seen.refused.append((start, number))
            with refused.get_lock():
                refused.value += 1

    connection.close()


def _choose(ended, count):
    """Mostly the device that ends next or has just ended, or another one that has ended."""
    lot = random.random()
    if lot < 0.25:
        return min(ended, count - 1)
    if lot < 0.8 and ended:
        return random.randrange(max(0, ended - 5) if lot < 0.5 else 0, ended)
    return random.randrange(count)
