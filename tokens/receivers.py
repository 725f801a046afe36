"""Receivers of the signals of Django and accounts: a login, a logout, a deactivation."""

from django.contrib.auth.models import AnonymousUser, update_last_login
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver

from accounts.models import User
from accounts.signals import users_changed, users_deactivated
from tokens import flows
from tokens.browser import get_device, keep_handle
from tokens.client import Client

from tokens.models import IssuedToken

@receiver(user_logged_in)
def add_browser_device(request, user, **kwargs):
    """Add the device of a session that Django has just logged in.

    If the account changed meanwhile, there is no device, and the session is anonymous.
    """
    former_handle = getattr(request, "former_handle", None)
    try:
        handle = flows.log_in_browser(user, Client.from_request(request), former_handle)
    except flows.Refused:
        request.session.flush()
        request.user = AnonymousUser()
        return
    keep_handle(request, handle)

    User.objects.filter(pk=user.pk).update(last_login=timezone.now())
    if former_handle:
        request.session.flush()  # it may hold what belongs to another person

# Make Django's own receiver run after the one above. Otherwise the order of imports decides.
user_logged_in.disconnect(dispatch_uid="update_last_login")
user_logged_in.connect(update_last_login, dispatch_uid="update_last_login")


@receiver(user_logged_out)
def revoke_browser_device(request, **kwargs):
    """End the device, so that a copy of its cookie is refused."""
    device = get_device(request)
    if device:
        flows.log_out(device)


@receiver(users_deactivated)
def revoke_devices_of_inactive_users(user_ids, **kwargs):
    flows.revoke_inactive(user_ids)


@receiver(users_changed)
def mark_devices_that_have_ended(user_ids, **kwargs):
    flows.mark_ended(IssuedToken.objects.filter(user_id__in=user_ids))
