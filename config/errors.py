"""Errors in the form that the asker reads: JSON under /api/, pages elsewhere."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from accounts.throttling import TooManyAttempts, log_too_many

logger = logging.getLogger(__name__)


@csrf_exempt
def unknown_endpoint(request, **kwargs):
    """Whatever under /api/ is no endpoint: 404 as JSON, also with DEBUG on."""
    return _json(404, "Not found.", "not_found")


def bad_request(request, exception):
    if _is_api(request):
        return _json(400, "The request cannot be read.", "bad_request")
    return _page(request, "400.html", 400)


def forbidden(request, exception):
    logger.info("request refused", extra={"status": 403, "code": "permission_denied"})
    if _is_api(request):
        return _json(403, "You do not have permission to do this.", "permission_denied")
    return _page(request, "403.html", 403)


def csrf_failure(request, reason=""):
    return _page(request, "403_csrf.html", 403)


def not_found(request, exception):
    if _is_api(request):
        return unknown_endpoint(request)
    return _page(request, "404.html", 404)


def server_error(request):
    """Rendered without the request, whose user may be what failed."""
    if _is_api(request):
        return _json(500, "Something went wrong here.", "error")
    return render(None, "500.html", status=500)


def _is_api(request) -> bool:
    return request.path.startswith("/api/")


def _page(request: HttpRequest, template: str, status: int) -> HttpResponse:
    """Its heading says who is signed in. No middleware hears of an error in a page of errors."""
    try:
        return render(request, template, status=status)
    except (OperationalError, InterfaceError) as error:
        return unavailable(request, error)


def _json(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)


RETRY_AFTER = 5  # seconds

UNAVAILABLE = {
    "detail": "The service is unavailable for the moment. Try again.",
    "code": "unavailable",
}


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
