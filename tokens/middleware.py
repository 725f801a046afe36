import logging
from functools import partial

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from accounts.exceptions import RETRY_AFTER, UNAVAILABLE
from accounts.hashers import Busy
from accounts.logs import current_request
from accounts.models import User
from accounts.throttling import TooManyAttempts, log_too_many
from tokens import flows
from tokens.client import Client, client_address, is_trusted
from tokens.models import IssuedToken

logger = logging.getLogger(__name__)

# Keys in the session: the handle of its device; why it was signed out, for the login page.
HANDLE_KEY = "device"
SIGNED_OUT_KEY = "signed_out"

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
    """Write the client's own address into REMOTE_ADDR, and believe forwarding headers only of
    TRUSTED_PROXIES. First of all middleware, so that everything after it agrees, the log too."""

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
    """Headers that every answer carries unless it says otherwise: it is not to be stored
    (ASVS 14.3.2), and its page runs no script but ours (ASVS 3.4.3).

    TRACE is refused here (ASVS 13.4.4), because views of the admin answer any method.
    """

    def process_request(self, request):
        if request.method in ("TRACE", "CONNECT"):
            answer = {"detail": "Method not allowed.", "code": "method_not_allowed"}
            return JsonResponse(answer, status=405, headers={"Allow": ""})
        return None

    def process_response(self, request, response):
        response.headers.setdefault("Cache-Control", "no-store")
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's own debug pages
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class DeviceMiddleware(AuthenticationMiddleware):
    """`request.device`, `request.user` and `request.auser` of a browser, in one query.

    The row decides: a session whose device is not live is flushed, and one without a device is
    anonymous. Django's session hash is not consulted, because a hash upgrade changes it.
    """

    def process_request(self, request):
        """In place of Django's, which would make two lazy users more."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            # Read now: `login()` may flush the session before the new device replaces this one.
            request.former_handle = request.session.get(HANDLE_KEY)
        request.device = SimpleLazyObject(partial(get_device, request))
        request.user = SimpleLazyObject(partial(get_user, request))
        request.auser = partial(aget_user, request)

    def process_response(self, request, response):
        """A page of the API that refuses a device which ended leads to where it is told why."""
        if response.status_code != 401:
            return response
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and SIGNED_OUT_KEY in request.session:
            return redirect_to_login(request.get_full_path())
        return response

    def process_exception(self, request, exception):
        """A device that ended between two steps of one request signs in again."""
        if not isinstance(exception, flows.Refused):
            return None
        sign_out(request, exception)
        return redirect_to_login(request.get_full_path())


class UnavailableMiddleware(MiddlewareMixin):
    """Answer 503 when the database is gone in the middle of a request (ASVS 16.5.2) or too many
    passwords are being hashed, 429 after too many tries, and 400 for a value that the database
    has no room for, such as PostgreSQL's for a NUL."""

    def process_exception(self, request, exception):
        if isinstance(exception, DataError):
            raise BadRequest("The database cannot hold a value of the request.") from exception
        if isinstance(exception, TooManyAttempts):
            return too_many(request, exception)
        if isinstance(exception, OperationalError | InterfaceError | Busy):
            return unavailable(request, exception)
        return None


def get_device(request: HttpRequest) -> IssuedToken | None:
    """The live browser device of the request, None without one. Asked once a request."""
    if not hasattr(request, "_cached_device"):
        request._cached_device = _load_device(request)  # type: ignore[attr-defined]
    return request._cached_device  # type: ignore[attr-defined]


def get_user(request: HttpRequest) -> User | AnonymousUser:
    device = get_device(request)
    return device.user if device else AnonymousUser()


async def aget_user(request: HttpRequest) -> User | AnonymousUser:
    return await sync_to_async(get_user)(request)


def too_many(request: HttpRequest, refusal: TooManyAttempts) -> HttpResponse:
    log_too_many()
    answer = render(request, "429.html", {"refusal": refusal}, status=429)
    answer.headers["Retry-After"] = str(refusal.wait)
    return answer


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("unavailable", exc_info=error)
    headers = {"Retry-After": str(RETRY_AFTER)}
    if request.path.startswith("/api/"):
        return JsonResponse(UNAVAILABLE, status=503, headers=headers)
    return HttpResponse(
        UNAVAILABLE["detail"], status=503, headers=headers, content_type="text/plain"
    )


def _load_device(request: HttpRequest) -> IssuedToken | None:
    handle = request.session.get(HANDLE_KEY)
    if handle is None:
        return None
    try:
        return flows.authenticate_browser(handle, Client.from_request(request))
    except flows.Refused as refusal:
        sign_out(request, refusal)
        return None


def sign_out(request: HttpRequest, refusal: flows.Refused) -> None:
    """Leave the browser a session without a device, which knows why it has none."""
    request.session.flush()
    logger.info("request refused", extra={"status": 302, "code": refusal.code})
    if refusal.code != "token_invalid":
        request.session[SIGNED_OUT_KEY] = {
            "code": refusal.code,
            "reason": refusal.reason,
            "note": refusal.note,
        }
