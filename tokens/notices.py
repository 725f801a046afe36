"""The mails that people get about their devices."""

import ipaddress
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import router
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from accounts import compiled
from accounts.compiled import Parameter
from accounts.mail import send_mail
from accounts.models import User
from tokens.models import IssuedToken, IssuedTokenQuerySet

NOT_ME_SALT = "tokens.not_me"
NOT_ME_MAX_AGE = timedelta(days=7)
KNOWN_FOR = timedelta(days=30)  # a similar device that was seen within this time is known
MAX_COMPARED = 100  # similar devices, the newest first


def tell_of_login(device: IssuedToken) -> None:
    """Mail a sign-in on a new device, or after many wrong passwords (ASVS 6.3.5).

    `_is_new` decides what is new. Many wrong passwords are LOGIN_ATTEMPTS or more.
    """
    is_new, wrong = _is_new(device), device.user.wrong_passwords
    if wrong < settings.LOGIN_ATTEMPTS:
        wrong = 0
    if not (is_new or wrong):
        return
    token = signing.dumps(str(device.pk), salt=NOT_ME_SALT)
    link = ("This wasn't me", settings.SITE_URL + reverse("not_me", args=[token]))
    context = {"device": device, "is_new": is_new, "wrong": wrong}
    _send(device.user, "New sign-in", "new_sign_in", link, **context)


def tell_of_password_change(user: User) -> None:
    link = ("Reset your password", settings.SITE_URL + reverse("password_reset"))
    _send(user, "Your password was changed", "password_changed", link)


def tell_of_reuse(device: IssuedToken) -> None:
    """Mail who used the refresh token first, and who second.

    The device is read again, because the reuse has changed its row.
    """
    device = IssuedToken.objects.select_related("user").get(pk=device.pk)
    _send(device.user, "A device was used from two places", "reuse", _devices(), device=device)


def tell_of_other_client(device: IssuedToken) -> None:
    """Mail that the cookie of this device came from another client in another network."""
    title = "A device came with another program"
    _send(device.user, title, "other_client", _devices(), device=device)


def tell_of_revocation(user: User, *, count: int, reason: str, note: str = "") -> None:
    """Mail that staff, or the limit of devices, ended `count` devices of the user."""
    title = "A device was signed out" if count == 1 else f"{count} devices were signed out"
    # Two templates, because mails of one template are summed up. So somebody who signs in often
    # does not keep a mail of staff away.
    template = "over_limit" if reason == IssuedToken.Reason.LIMIT else "revoked"
    _send(user, title, template, _devices(), count=count, note=note)


def read_not_me(token: str) -> IssuedTokenQuerySet:
    """The one device of a "This wasn't me" link.

    No device if the link is older than NOT_ME_MAX_AGE or was not made by this site.
    """
    try:
        key = signing.loads(token, salt=NOT_ME_SALT, max_age=NOT_ME_MAX_AGE)
    except signing.BadSignature:
        return IssuedToken.objects.none()
    return IssuedToken.objects.filter(pk=uuid.UUID(key))


def _send(user: User, title: str, template: str, link: tuple[str, str], **context: object) -> None:
    send_mail(user, title, template, context, link=link)


def _devices() -> tuple[str, str]:
    return ("Look at your devices", settings.SITE_URL + reverse("devices"))


def _is_new(device: IssuedToken) -> bool:
    """Whether the account has other devices, and none like this one was seen within KNOWN_FOR.

    Like this one: the same client and system, and the same place or network.
    """
    alike = compiled.select(router.db_for_write(IssuedToken), _places_of_alike)
    places = alike.fetch(
        user=device.user_id, hash=device.hash, browser=device.browser, os=device.os
    )
    if any(_is_near(device, *place) for place in places):
        return False
    return device.user.devices.exclude(pk=device.pk).exists()


def _places_of_alike() -> Any:
    alike = IssuedToken.objects.filter(
        ~Q(hash=Parameter("hash")),
        user_id=Parameter("user"),
        browser=Parameter("browser"),
        os=Parameter("os"),
        last_seen_at__gt=Now() - KNOWN_FOR,
    )
    return alike.order_by("-created_at").values_list("location", "ip_address", "last_ip")[
        :MAX_COMPARED
    ]


def _is_near(device: IssuedToken, location: str, *addresses: str | None) -> bool:
    """Whether the device has this place, or is in the network of one of these addresses."""
    if device.location and device.location == location:
        return True
    return device.ip_address is not None and _network(device.ip_address) in map(_network, addresses)


def _network(address: str | None) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network around an address: /24 for IPv4, /64 for IPv6. None without an address."""
    if address is None:
        return None
    bits = 64 if ":" in address else 24
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)
