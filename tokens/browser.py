import logging

from django.http import HttpRequest

from tokens import flows
from tokens.client import Client
from tokens.models import IssuedToken

logger = logging.getLogger(__name__)

# Keys in the session: the handle of its device; why it was signed out, for the login page.
HANDLE_KEY = "device"
SIGNED_OUT_KEY = "signed_out"


def get_device(request: HttpRequest) -> IssuedToken | None:
    """The live browser device of the request, None without one. Asked once a request."""
    if not hasattr(request, "_cached_device"):
        request._cached_device = _load_device(request)  # type: ignore[attr-defined]
    return request._cached_device  # type: ignore[attr-defined]


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


def keep_handle(request, handle: str) -> None:
    """Put the handle of this browser's device into its session, under a new session key."""
    request.session.cycle_key()
    request.session[HANDLE_KEY] = handle
    request.former_handle = handle
    if hasattr(request, "_cached_device"):
        del request._cached_device


def forget_cookie(request) -> None:
    """Leave no cookie of a device that has just ended."""
    if request.auth.kind == IssuedToken.Kind.BROWSER:
        request.session.flush()
