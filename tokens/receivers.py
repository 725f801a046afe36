"""Receivers of the signals of Django and accounts: a login, a logout, a deactivation."""

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.utils import timezone

from accounts.signals import users_changed, users_deactivated
from tokens import flows
from tokens.browser import get_device, keep_handle
from tokens.client import Client
from tokens.models import IssuedToken


@receiver(user_logged_in)
def add_browser_device(request, user, **kwargs):
    """Add the device of a session that Django has just logged in.

    If the account changed meanwhile, or was deleted, there is no device, and the session is
    anonymous.
    """
    request = getattr(request, "_request", request)  # of DRF, whose views may call `login()` too
    former_handle = getattr(request, "former_handle", None)
    client, at_most = Client.from_request(request), getattr(request, "at_most", None)
    try:
        handle = flows.log_in_browser(user, client, former_handle, at_most=at_most)
    except flows.Refused:
        request.session.flush()
        request.user = AnonymousUser()
        return
    if former_handle:
        request.session.flush()  # it may hold what belongs to another person
    keep_handle(request, handle)
    if at_most:
        request.session.set_expiry(timezone.now() + at_most)


# Django's own receiver writes `last_login` of a refused account too, and fails for a deleted one.
user_logged_in.disconnect(dispatch_uid="update_last_login")


@receiver(user_logged_out)
def revoke_browser_device(request, **kwargs):
    """End the device, so that a copy of its cookie is refused."""
    device = get_device(getattr(request, "_request", request))
    if device:
        flows.log_out(device)


@receiver(users_deactivated)
def revoke_devices_of_inactive_users(user_ids, **kwargs):
    flows.revoke_inactive(user_ids)


@receiver(users_changed)
def mark_devices_that_have_ended(user_ids, **kwargs):
    flows.mark_ended(IssuedToken.objects.filter(user_id__in=user_ids))
