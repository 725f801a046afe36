"""Answers to errors: JSON under /api/, pages elsewhere."""

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from accounts.throttling import TooManyAttempts, log_too_many

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds
UNAVAILABLE = {
    "detail": "The service is unavailable for the moment. Try again.",
    "code": "unavailable",
}


@csrf_exempt
def unknown_endpoint(request, **kwargs):
    """Answer 404 as JSON where /api/ has no endpoint, also with DEBUG on."""
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
    """Answer 500. The page is rendered without the request, because its user may not load."""
    if _is_api(request):
        return _json(500, "Something went wrong here.", "error")
    return render(None, "500.html", status=500)


def too_many(request: HttpRequest, refusal: TooManyAttempts) -> HttpResponse:
    log_too_many()
    answer = render(request, "429.html", {"refusal": refusal}, status=429)
    answer.headers["Retry-After"] = str(refusal.wait)
    return answer


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("unavailable", exc_info=error)
    headers = {"Retry-After": str(RETRY_AFTER)}
    if _is_api(request):
        return JsonResponse(UNAVAILABLE, status=503, headers=headers)
    return HttpResponse(
        UNAVAILABLE["detail"], status=503, headers=headers, content_type="text/plain"
    )


def _is_api(request) -> bool:
    return request.path.startswith("/api/")


def _page(request: HttpRequest, template: str, status: int) -> HttpResponse:
    """Render an error page. Answer 503 if that needs a database that is gone.

    The page's heading shows who is signed in. UnavailableMiddleware does not see an error that
    arises in an error page.
    """
    try:
        return render(request, template, status=status)
    except (OperationalError, InterfaceError) as error:
        return unavailable(request, error)


def _json(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)
