"""What both servers' requests share. One whose Content-Type cannot be read is one without.

Django's own raises out of the handler, where no middleware and no error page is reached, when a
parameter names an unknown character set as RFC 2231 has it.
"""

from django.core.handlers import asgi, wsgi
from django.http import HttpRequest

# So long PostgreSQL waits for a lock and works at a statement of a request: it is answered 503
# before a server gives up the process that answers it, after 30 s by gunicorn's default. Commands
# take the time they need. And it compiles no query, which takes longer than the query would.
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
