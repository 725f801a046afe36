"""What WSGI and ASGI servers share: health, bodies, Content-Type.

A body of unknown length (RFC 9112, 7.1: `Transfer-Encoding: chunked`) has no Content-Length, and
Django and DRF take it for empty. The classes here measure it.

A Content-Type may name an unknown character set in the way of RFC 2231. Django's own request class
then raises an error before any middleware, so there is no error page. The classes here ignore a
Content-Type that cannot be read. They read everything as UTF-8, as browsers send it: texts in UTF-7
may hold lone surrogates, which no hash and no database takes.
"""

import io
import os
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.handlers import asgi, wsgi
from django.http import HttpRequest

from config import health
from config.databases import OUR_POSTGRESQL
from config.readiness import afailed_parts, failed_parts

Receive = Callable[[], Awaitable[dict[str, Any]]]


def serve_metrics() -> None:
    """Answer Prometheus, if METRICS_PORT asks for it. Otherwise nothing of it is loaded."""
    if settings.METRICS_PORT:
        from config.scrapes import serve

        serve(settings.METRICS_PORT)


def bound_waits() -> None:
    """Bound the one wait at PostgreSQL to which the limits of a request do not apply."""
    if settings.DATABASES["default"]["ENGINE"] == OUR_POSTGRESQL:
        from config.postgresql import waits

        waits.start()


class ReadableContentType(HttpRequest):
    def _set_content_type_params(self, meta):
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]
        except ValueError:
            meta["CONTENT_TYPE"] = ""
            super()._set_content_type_params(meta)  # type: ignore[misc]
        if self.content_params and "charset" in self.content_params:
            self.encoding = "utf-8"


class WSGIRequest(ReadableContentType, wsgi.WSGIRequest):
    def __init__(self, environ):
        if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
            _measure(environ)
        super().__init__(environ)


class ASGIRequest(ReadableContentType, asgi.ASGIRequest):
    def __init__(self, scope, body_file):
        super().__init__(scope, body_file)
        if "CONTENT_LENGTH" not in self.META:
            self.META["CONTENT_LENGTH"] = str(body_file.seek(0, os.SEEK_END))
            body_file.seek(0)


class WSGIHandler(wsgi.WSGIHandler):
    request_class = WSGIRequest

    def __call__(self, environ, start_response):
        path, method = environ.get("PATH_INFO"), environ["REQUEST_METHOD"]
        if path not in health.PATHS:
            return super().__call__(environ, start_response)
        failed = failed_parts() if path == health.READY and method in health.METHODS else []
        answer = health.respond(method, failed)
        start_response(f"{answer.status_code} {answer.reason_phrase}", list(answer.items()))
        return [answer.content]


class ASGIHandler(asgi.ASGIHandler):
    request_class = ASGIRequest

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path not in health.PATHS:
            return await super().__call__(scope, receive, send)
        method = scope["method"]
        asks = path == health.READY and method in health.METHODS
        answer = health.respond(method, await afailed_parts() if asks else [])
        return await self.send_response(answer, send)

    async def read_body(self, receive):
        return await super().read_body(_bounded(receive, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))


def _measure(environ: dict) -> None:
    """Read a body up to one byte over the limit, which is enough to refuse it."""
    try:
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    except OSError as error:  # a malformed chunk, or a client that is gone
        environ |= {"CONTENT_LENGTH": "1", "wsgi.input": _Unreadable(error)}
    else:
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` with at most `limit` bytes of the body; the rest is dropped.

    Django writes a body of any size to disk, before it looks at the length.
    """
    left = limit

    async def receive_bounded() -> dict[str, Any]:
        nonlocal left
        message = await receive()
        body = message.get("body", b"")[:left]
        left -= len(body)
        return {**message, "body": body}

    return receive_bounded


class _Unreadable:
    """A body that fails when a view reads it."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def read(self, *args: int) -> bytes:
        raise self.error

    readline = read
