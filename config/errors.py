"""Answers to errors: JSON under /api/, pages elsewhere."""

import logging
import sqlite3
from typing import Any

from django.db import DatabaseError, Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import PermissionDenied

from accounts.exceptions import PasskeyRequired
from accounts.hashers import Busy
from accounts.throttling import TooManyAttempts, log_too_many
from tokens.views.sign_in import LoginView

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds
# Errors of a database that Django counts among the mistakes of the program: it takes no writes, has
# not been migrated, or is damaged.
UNUSABLE = {
    "25006",  # PostgreSQL: read-only, as a standby is
    "42P01",  # no such table
    "42703",  # no such column
    "XX001",  # damaged
    "XX002",
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
UNAVAILABLE = {
    "detail": "This site cannot answer at the moment. Try again in a few seconds.",
    "code": "unavailable",
}


@csrf_exempt
def unknown_endpoint(request, **kwargs):
    """Answer 404 as JSON where /api/ has no endpoint, also with DEBUG on."""
    return _json(404, "Not found.", "not_found")


def bad_request(request, exception):
    if is_api(request):
        return _json(400, "The request cannot be read.", "bad_request")
    return _page(request, "400.html", 400)


def forbidden(request, exception):
    held_back = getattr(request.user, "was_held_back", False)
    refusal = PasskeyRequired if held_back else PermissionDenied
    logger.info("request refused", extra={"status": 403, "code": refusal.default_code})
    if is_api(request):
        return _json(403, str(refusal.default_detail), refusal.default_code)
    return _page(request, "403.html", 403)


def csrf_failure(request, reason=""):
    """Refuse the form. Somebody who is signed in by now, in another tab, needs no sign-in form.

    They are led to where the form would have led them.
    """
    try:
        onward = _after_sign_in(request)
    except Error as error:
        if is_unavailable(error):
            return unavailable(request, error)
        raise
    return redirect(onward) if onward else _page(request, "403_csrf.html", 403)


def not_found(request, exception):
    if is_api(request):
        return unknown_endpoint(request)
    return _page(request, "404.html", 404)


def method_not_allowed(request: HttpRequest, refused: HttpResponseNotAllowed) -> HttpResponse:
    page = _page(request, "405.html", 405)
    page.headers["Allow"] = refused.headers["Allow"]
    return page


def server_error(request):
    """Answer 500. The page is rendered without the request, because its user may not load."""
    if is_api(request):
        return _json(500, "Something went wrong on the server. Try again later.", "error")
    return render(None, "500.html", {"request_id": _id(request)}, status=500)


def too_many(request: HttpRequest, refusal: TooManyAttempts) -> HttpResponse:
    log_too_many()
    answer = render(request, "429.html", {"refusal": refusal}, status=429)
    answer.headers["Retry-After"] = str(refusal.wait)
    return answer


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says that something cannot be used now, so that the answer is 503."""
    if isinstance(error, OperationalError | InterfaceError | Busy):
        return True
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorcode", None)
    return code in UNUSABLE


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    log_unavailable(error)
    headers = {"Retry-After": str(RETRY_AFTER)}
    if is_api(request):
        return JsonResponse(UNAVAILABLE, status=503, headers=headers)
    words = f"{UNAVAILABLE['detail']} If it goes on, tell us this number: {_id(request)}\n"
    return HttpResponse(words, status=503, headers=headers, content_type="text/plain")


def log_unavailable(error: Exception) -> None:
    """Log what is gone in one line, without a traceback: everybody meets it at the same time."""
    logger.error("unavailable", extra=describe(error))


def describe(error: BaseException) -> dict[str, str]:
    """The fields of a line in the log about an error that everybody can meet."""
    return {"error": type(error).__name__, "reason": str(error).partition("\n")[0][:200]}


def tls_required() -> JsonResponse:
    """Answer 403 to a request of the API without TLS. A redirect would hide that a token leaked."""
    logger.info("request refused", extra={"status": 403, "code": "tls_required"})
    return _json(403, "Use https. Others could read what this request sent.", "tls_required")


def is_api(request) -> bool:
    return request.path.startswith("/api/")


def _after_sign_in(request: Any) -> str | None:
    """Where the sign-in form leads that somebody signed in has sent. None for all else."""
    view = request.resolver_match.func
    if getattr(view, "view_class", None) is not LoginView or not request.user.is_authenticated:
        return None
    page = LoginView(**view.view_initkwargs)
    page.setup(request)
    return page.get_success_url()


def _page(request: HttpRequest, template: str, status: int) -> HttpResponse:
    """Render an error page. Answer 503 if that needs a database that is gone.

    The page's heading shows who is signed in. UnavailableMiddleware does not see an error that
    arises in an error page.
    """
    try:
        return render(request, template, status=status)
    except Error as error:
        if is_unavailable(error):
            return unavailable(request, error)
        raise


def _id(request: HttpRequest) -> str:
    """The id of a request, as ClientAddressMiddleware has given it."""
    return getattr(request, "id", "")


def _json(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)
