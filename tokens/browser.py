"""The session of a browser and its device. No other module joins the two.

The session cookie holds the handle of a `browser` device. The row of the device decides whether the
browser is signed in. If it is not, the session keeps the reason for the next sign-in page.
"""

import logging
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.http import HttpRequest
from django.utils.crypto import get_random_string

from accounts.passkeys import Purpose, login
from accounts.text import clean_text
from tokens import flows, stories
from tokens.client import Client
from tokens.flows.log import log_fields
from tokens.models import NOTE_LENGTH, IssuedToken

logger = logging.getLogger(__name__)

# Keys in the session.
HANDLE_KEY = "device"
SIGNED_OUT_KEY = "signed_out"
NOTE_KEY = "note"
SIGN_IN_KEY = "sign_in"


def get_device(request: HttpRequest) -> IssuedToken | None:
    """The live browser device of the request, or None. The database is asked once a request."""
    if not hasattr(request, "_cached_device"):
        request._cached_device = _load_device(request)  # type: ignore[attr-defined]
    return request._cached_device  # type: ignore[attr-defined]


def remember_former_handle(request) -> None:
    """Note the handle that the request came with. `login()` may flush the session afterwards."""
    request.former_handle = request.session.get(HANDLE_KEY)


def keep_handle(request, handle: str) -> None:
    """Put the handle of this browser's device into its session, under a new session key.

    What `login()` has put there goes, so that only the row of the device says who is signed in.
    """
    request.session.cycle_key()
    for key in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, SIGNED_OUT_KEY):
        request.session.pop(key, None)
    request.session[HANDLE_KEY] = handle
    request.former_handle = handle
    if hasattr(request, "_cached_device"):
        del request._cached_device


def forget_handle(request, device: IssuedToken) -> None:
    """Flush the session of a browser device that has just ended. An `api` device has no session."""
    if device.kind == IssuedToken.Kind.BROWSER:
        request.session.flush()


def refuse(request: HttpRequest, refusal: flows.Refused) -> None:
    """Flush the session of a device that was refused, and keep the reason in the new session.

    `token_invalid` keeps no reason, because no device has that handle.
    """
    request.session.flush()
    logger.info("request refused", extra={"status": 302, "code": refusal.code})
    if refusal.code != "token_invalid":
        request.session[SIGNED_OUT_KEY] = {
            "code": refusal.code,
            "reason": refusal.reason,
            "note": refusal.note,
        }


def was_signed_out(request: HttpRequest) -> bool:
    """Whether the session still holds why its device was refused."""
    return SIGNED_OUT_KEY in request.session


def pop_signed_out(request: HttpRequest) -> dict[str, Any] | None:
    """Why the device was refused: `text`, whether it was `by_staff`, and their `note`. Or None.

    The session forgets it, so that the person is told once.
    """
    get_device(request)  # the first page of a device that has ended may be this one
    kept = request.session.pop(SIGNED_OUT_KEY, None)
    if kept is None:
        return None
    return {
        "text": stories.signed_out_text(kept["code"], kept["reason"]),
        "by_staff": kept["reason"] in stories.BY_STAFF,
        "note": kept["note"],
    }


def passkey_purpose(request: HttpRequest) -> Purpose:
    """What a passkey answers on the sign-in page: a challenge for this session alone."""
    if SIGN_IN_KEY not in request.session:
        request.session[SIGN_IN_KEY] = get_random_string(22)
    return login(f"page {request.session[SIGN_IN_KEY]}")


def hold_note(request: HttpRequest) -> None:
    """Keep the note and reason that were typed on this page while their writer signs in again."""
    typed = {
        name: clean_text(request.POST.get(name, ""), NOTE_LENGTH) for name in ("note", "reason")
    }
    if any(typed.values()):
        request.session[NOTE_KEY] = {"page": request.get_full_path(), **typed}


def pop_note(request: HttpRequest) -> dict[str, str]:
    """The note and reason that were kept for this page, or {}. The session forgets them."""
    held = request.session.get(NOTE_KEY)
    if held is None or held["page"] != request.get_full_path():
        return {}
    return request.session.pop(NOTE_KEY)


def _load_device(request: HttpRequest) -> IssuedToken | None:
    handle = request.session.get(HANDLE_KEY)
    if handle is None:
        return None
    try:
        device = flows.authenticate_browser(handle, Client.from_request(request))
    except flows.Refused as refusal:
        refuse(request, refusal)
        return None
    request.logged_as = log_fields(device)  # type: ignore[attr-defined]
    return device
