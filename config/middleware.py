"""What every request passes: its address and id, headers, and answers when something is gone."""

import os
import re

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpResponseNotAllowed, JsonResponse, UnreadablePostError
from django.utils.deprecation import MiddlewareMixin

from accounts.throttling import TooManyAttempts
from config.errors import (
    is_api,
    is_unavailable,
    method_not_allowed,
    tls_required,
    too_many,
    unavailable,
)
from config.logs import current_request
from tokens.client import clean_address, client_address, is_trusted

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "style-src 'self' 'unsafe-inline'",  # the browsable API and Swagger UI use style attributes
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
REQUEST_ID = re.compile(r"[A-Za-z0-9@:._-]{8,128}")


class ClientAddressMiddleware(MiddlewareMixin):
    """Write the client's own address into REMOTE_ADDR. Believe only the headers of TRUSTED_PROXIES.

    Each request also has an id, for its lines in the log and its answer: the proxy's, or a new one.
    It comes first of all middleware, so that everything after it sees this address, the log too.
    """

    def process_request(self, request):
        peer = request.META.get("REMOTE_ADDR", "")
        given = ""
        if is_trusted(peer, settings.TRUSTED_PROXIES):
            given = request.META.get("HTTP_X_REQUEST_ID", "")
            forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
            address = client_address(peer, forwarded_for, settings.TRUSTED_PROXIES)
        else:
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
            address = clean_address(peer)
        request.META["REMOTE_ADDR"] = address or ""
        request.id = given if REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        current_request.set(request)

    def process_response(self, request, response):
        current_request.set(None)
        response.headers["X-Request-ID"] = request.id
        return response


class HeadersMiddleware(MiddlewareMixin):
    """Set headers on every answer that does not set them itself.

    The answer is not to be stored (ASVS 14.3.2). A page runs only the site's own scripts (ASVS
    3.4.3). TRACE is refused here (ASVS 13.4.4), because views of the admin answer any method. The
    API is refused without TLS (ASVS 4.1.2), before SecurityMiddleware would redirect.
    """

    def process_request(self, request):
        if request.method in ("TRACE", "CONNECT"):
            answer = {"detail": "Method not allowed.", "code": "method_not_allowed"}
            return JsonResponse(answer, status=405, headers={"Allow": ""})
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and is_api(request):
            return tls_required()
        return None

    def process_response(self, request, response):
        response.headers.setdefault("Cache-Control", "no-store")
        if "X-Content-Type-Options" not in response.headers:  # SecurityMiddleware has not seen it
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY)
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's debug page
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class UnavailableMiddleware(MiddlewareMixin):
    """Answer errors that no view handles.

    503 if the database cannot be used (ASVS 16.5.2), or if too many passwords are being hashed. 429
    after too many attempts. 400 for a body that cannot be read, and for a value that the database
    cannot hold, such as a NUL in PostgreSQL. Outside the API a method that is not allowed gets a
    page, because Django's answer is blank.
    """

    def process_response(self, request, response):
        is_blank = isinstance(response, HttpResponseNotAllowed) and not response.content
        return (
            method_not_allowed(request, response) if is_blank and not is_api(request) else response
        )

    def process_exception(self, request, exception):
        if isinstance(exception, DataError):
            raise BadRequest("The database cannot hold a value of the request.") from exception
        if isinstance(exception, UnreadablePostError):
            raise BadRequest("The body cannot be read.") from exception
        if isinstance(exception, TooManyAttempts):
            return too_many(request, exception)
        if is_unavailable(exception):
            return unavailable(request, exception)
        return None
