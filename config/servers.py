"""What requests of WSGI and ASGI servers share: limits at the database, and their Content-Type.

A Content-Type may name an unknown character set in the way of RFC 2231. Django's own request class
then raises an error before any middleware, so there is no error page. The classes here ignore a
Content-Type that cannot be read.
"""

from django.core.handlers import asgi, wsgi
from django.http import HttpRequest

# Limits for requests: 10 s for a lock and 20 s for a statement, so the 503 comes before gunicorn
# kills the worker (after 30 s by default). Commands have no limits. JIT is off, because compiling a
# query takes longer than running it.
PGOPTIONS = "-c lock_timeout=10s -c statement_timeout=20s -c jit=off"


class ReadableContentType(HttpRequest):
    def _set_content_type_params(self, meta):
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]
        except ValueError:
            meta["CONTENT_TYPE"] = ""
            super()._set_content_type_params(meta)  # type: ignore[misc]


class WSGIRequest(ReadableContentType, wsgi.WSGIRequest):
    pass


class ASGIRequest(ReadableContentType, asgi.ASGIRequest):
    pass
