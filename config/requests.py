"""A request whose Content-Type cannot be read is one without.

Django's own raises out of the handler, where no middleware and no error page is reached, when a
parameter names an unknown character set as RFC 2231 has it.
"""

from django.core.handlers import asgi, wsgi
from django.http import HttpRequest


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
