"""What every request passes: the client's address, headers, and answers when something is gone."""

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpResponseNotAllowed, JsonResponse, UnreadablePostError
from django.utils.deprecation import MiddlewareMixin

from accounts.hashers import Busy
from accounts.throttling import TooManyAttempts
from config.errors import is_api, method_not_allowed, tls_required, too_many, unavailable
from config.logs import current_request
from tokens.client import client_address, is_trusted

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


class ClientAddressMiddleware(MiddlewareMixin):
    """Write the client's own address into REMOTE_ADDR. Believe only the headers of TRUSTED_PROXIES.

    It comes first of all middleware, so that everything after it sees this address, the log too.
    """

    def process_request(self, request):
        peer = request.META.get("REMOTE_ADDR", "")
        forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if not is_trusted(peer, settings.TRUSTED_PROXIES):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        address = client_address(peer, forwarded_for, settings.TRUSTED_PROXIES)
        request.META["REMOTE_ADDR"] = address or ""
        current_request.set(request)

    def process_response(self, request, response):
        current_request.set(None)
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
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY)
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's debug page
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class UnavailableMiddleware(MiddlewareMixin):
    """Answer errors that no view handles.

    503 if the database is gone in the middle of a request (ASVS 16.5.2), or if too many passwords
    are being hashed. 429 after too many attempts. 400 for a body that cannot be read, and for a
    value that the database cannot hold, such as a NUL in PostgreSQL. Outside the API a method that
    is not allowed gets a page, because Django's answer is blank.
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
        if isinstance(exception, OperationalError | InterfaceError | Busy):
            return unavailable(request, exception)
        return None
