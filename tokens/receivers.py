"""What Django and accounts tell, heard here."""

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver

from accounts.signals import users_deactivated
from tokens import flows
from tokens.client import Client
from tokens.middleware import HANDLE_KEY, get_device


@receiver(user_logged_in)
def add_browser_device(request, user, **kwargs):
    """Make the session that Django has just logged in a device. Without one it is anonymous."""
    former_handle = getattr(request, "former_handle", None)
    try:
        handle = flows.sign_in_browser(user, Client.from_request(request), former_handle)
    except flows.Refused:
        request.session.flush()
        request.user = AnonymousUser()
        return
    keep_handle(request, handle)


@receiver(user_logged_out)
def revoke_browser_device(request, **kwargs):
    """End the device, so that a copy of its cookie is dead."""
    device = get_device(request)
    if device:
        flows.log_out(device)


@receiver(users_deactivated)
def revoke_devices_of_inactive_users(user_ids, **kwargs):
    flows.revoke_inactive(user_ids)


def keep_handle(request, handle: str) -> None:
    """Put the handle of this browser's device into its session, under a new session key."""
    request.session.cycle_key()
    request.session[HANDLE_KEY] = handle
    request.former_handle = handle
    if hasattr(request, "_cached_device"):
        del request._cached_device
