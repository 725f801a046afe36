"""Answers of the API to exceptions, as `{"detail": sentence, "code": word}`."""

import logging

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from accounts.exceptions import PasskeyRequired
from accounts.throttling import TooManyAttempts
from config.errors import RETRY_AFTER, UNAVAILABLE, is_unavailable, log_unavailable
from config.parsers import BodyTooLarge

logger = logging.getLogger(__name__)
REFUSALS = {401, 403, 429}
REFUSED = (PermissionDenied, exceptions.PermissionDenied)

# Refusals that are counted and not printed. Every client meets them often, and the backend logs a
# refused login with its cause.
ROUTINE = {"not_authenticated", "token_expired", "reauthentication_required", "login_failed"}


class Throttled(exceptions.Throttled):
    """429 with `Retry-After`."""

    def __init__(self, refusal: TooManyAttempts) -> None:
        exceptions.APIException.__init__(self, str(refusal))
        self.wait = refusal.wait


def exception_handler(exc, context):
    """DRF's own, with `code` next to `detail`.

    Answer 503 if the database cannot be used, or if too many passwords are being hashed.
    """
    if is_unavailable(exc):
        log_unavailable(exc)
        set_rollback()
        return Response(UNAVAILABLE, status=503, headers={"Retry-After": str(RETRY_AFTER)})
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, REFUSED) and getattr(context["request"].user, "was_held_back", False):
        exc = PasskeyRequired()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, TooManyAttempts):
        exc = Throttled(exc)
    elif isinstance(exc, RequestDataTooBig):
        exc = BodyTooLarge()
    elif isinstance(exc, UnreadablePostError):
        exc = exceptions.ParseError("The body cannot be read.")
    response = drf_exception_handler(exc, context)
    if response is not None and isinstance(getattr(exc, "detail", None), str):
        response.data = {
            "detail": str(exc.detail),
            "code": exc.get_codes(),
            **getattr(exc, "extra", {}),
        }
    if response is not None and response.status_code in REFUSALS:
        _log_refusal(exc, response.status_code)
    return response


def _log_refusal(exc, status_code: int) -> None:
    code = exc.get_codes()
    level = logging.DEBUG if code in ROUTINE else logging.INFO
    logger.log(level, "request refused", extra={"status": status_code, "code": code})
