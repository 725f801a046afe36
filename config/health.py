"""`/healthz` and `/readyz`: whether the process is alive, and whether the site can do its work.

The handlers of the servers answer them, before Django sees the request, because a load balancer
knows neither the name of the host nor TLS. No middleware takes part. `/healthz` touches nothing.
"""

from django.http import HttpResponse, HttpResponseNotAllowed, JsonResponse

from config.errors import RETRY_AFTER

ALIVE, READY = "/healthz", "/readyz"
PATHS = {ALIVE, READY}
METHODS = ("GET", "HEAD")


def respond(method: str, failed: list[str]) -> HttpResponse:
    """The answer, given the names of the parts that failed. It says no more than these."""
    answer: HttpResponse
    if method not in METHODS:
        answer = HttpResponseNotAllowed(METHODS)
    elif failed:
        headers = {"Retry-After": str(RETRY_AFTER)}
        answer = JsonResponse(
            {"status": "unavailable", "failed": failed}, status=503, headers=headers
        )
    else:
        answer = JsonResponse({"status": "ok"})
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Length"] = str(len(answer.content))
    if method == "HEAD":
        answer.content = b""
    return answer
