"""The mails that people get about their devices."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.urls import reverse

from accounts.letters import Facts, Mail, by_staff, paths
from accounts.mail import send_mail, send_mails
from accounts.models import User
from tokens.client import Client, is_near, network_of
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.places import locate
from tokens.statements import Others
from tokens.user_agents import client_name

NOT_ME_SALT = "tokens.not_me"
NOT_ME_MAX_AGE = timedelta(days=7)
LISTED = 5  # ended devices that a mail describes
MAX_COMPARED = 100  # places of similar devices


def tell_of_login(device: IssuedToken, others: Others) -> None:
    """Mail a sign-in on a new device, or after many wrong passwords (ASVS 6.3.5).

    `others` are the devices of the user before it. Many wrong passwords are LOGIN_ATTEMPTS or more.
    """
    is_new, wrong = _is_new(device, others), device.user.wrong_passwords
    many = {"wrong": wrong} if wrong >= settings.LOGIN_ATTEMPTS else {}
    if not (is_new or many):
        return
    facts = {"id": str(device.pk), "is_new": is_new, "devices": [_described(device)], **many}
    send_mail(device.user, "new_sign_in", {**facts, "at": device.created_at.isoformat()})


def tell_of_password_change(user: User, origin: Facts, *, is_reset: bool = False) -> None:
    """Mail that the password was changed, or reset by a mailed link."""
    send_mail(user, "password_changed", {**origin, "is_reset": is_reset})


def tell_of_reuse(device: IssuedToken, client: Client) -> None:
    """Mail who used the refresh token of the device first, and that this client came second."""
    rotated = Client(ip_address=device.rotated_ip, user_agent=device.rotated_user_agent)
    first, again = _side(rotated), _side(client)
    is_lost = first["client"] == again["client"] and is_near(first["address"], again["address"])
    facts = {
        "devices": [_described(device)],
        "first": {**first, "at": device.rotated_at.isoformat()},
        "again": {**again, "at": device.now.isoformat()},
        "is_lost": is_lost,
    }
    send_mail(device.user, "reuse", facts)


def tell_of_other_client(device: IssuedToken, former_ip: str | None, client: Client) -> None:
    """Mail that the cookie of this device came from this client in another network."""
    known = {**_described(device), "place": locate(former_ip), "address": former_ip}
    facts = {"devices": [known], "other": _side(client)}
    send_mail(device.user, "other_client", facts)


def tell_of_revocation(
    user: User, devices: Sequence[IssuedToken], *, count: int, by: User | None, note: str
) -> None:
    """Mail that staff ended `count` devices of the user. These are some of them."""
    send_mail(user, "revoked", _revoked(devices, count, by, note))


def tell_of_incident(devices: Iterable[IssuedToken], *, by: User | None, note: str) -> None:
    """Mail the owners of these devices, with their users, that staff ended them."""
    owners: defaultdict[User, list[IssuedToken]] = defaultdict(list)
    for device in devices:
        owners[device.user].append(device)
    send_mails(
        "revoked",
        [(user, _revoked(ended, len(ended), by, note)) for user, ended in owners.items()],
    )


def tell_of_limit(user: User, devices: Sequence[IssuedToken]) -> None:
    """Mail that the limit of devices ended these.

    It is a kind of its own, because mails of one kind are summed up. So somebody who signs in often
    does not keep a mail of staff away.
    """
    limit = settings.MAX_DEVICES_PER_USER
    send_mail(user, "over_limit", {**_ended(devices, len(devices)), "limit": limit})


def origin_of(device: IssuedToken) -> Facts:
    """The facts of an act of the person on this device, in the request that it makes."""
    client = Client(ip_address=device.presented_ip)
    return {"devices": [{**_described(device), **_place_of(client)}]}


def origin_of_request(request: HttpRequest) -> Facts:
    """The facts of an act of somebody who is not signed in."""
    return {"devices": [_side(Client.from_request(request))]}


def read_not_me(token: str) -> IssuedTokenQuerySet:
    """The one device of a "This wasn't me" link.

    No device if the link is older than NOT_ME_MAX_AGE or was not made by this site.
    """
    try:
        key = signing.loads(token, salt=NOT_ME_SALT, max_age=NOT_ME_MAX_AGE)
    except signing.BadSignature:
        return IssuedToken.objects.none()
    return IssuedToken.objects.filter(pk=uuid.UUID(key))


def _described(device: IssuedToken) -> Facts:
    return {
        "client": device.label,
        "name": device.name,
        "place": device.location,
        "address": device.last_ip,
    }


def _revoked(devices: Sequence[IssuedToken], count: int, by: User | None, note: str) -> Facts:
    facts = {**_ended(devices, count), **by_staff(by)}
    return {**facts, "note": note} if note else facts


def _ended(devices: Sequence[IssuedToken], count: int) -> Facts:
    """The facts about `count` devices that ended. The first LISTED of them are described."""
    listed = [
        {**_described(device), "seen": device.last_seen_at.isoformat()}
        for device in devices[:LISTED]
    ]
    more = {"more": count - len(listed)} if count > len(listed) else {}
    return {"count": count, "devices": listed, **more}


def _side(client: Client) -> Facts:
    return {"client": client_name(client.user_agent), **_place_of(client)}


def _place_of(client: Client) -> Facts:
    return {"place": locate(client.ip_address), "address": client.ip_address}


def _path_to_not_me(mail: Mail) -> str:
    return reverse("not_me", args=[signing.dumps(mail.facts["id"], salt=NOT_ME_SALT)])


def _is_new(device: IssuedToken, others: Others) -> bool:
    """Whether the account has other devices, and none like this one was seen of late.

    Like this one: the same client and system, and the same place or network.
    """
    places = others.places[:MAX_COMPARED]
    return others.is_any and not any(_is_near(device, *place) for place in places)


def _is_near(device: IssuedToken, is_forgotten: int, location: str, *addresses: str | None) -> bool:
    """Whether the device has this place, or is in the network of one of these addresses.

    Of a device that is forgotten, only the first address of a wider network is known.
    """
    here = device.ip_address
    if device.location and device.location == location:
        return True
    if is_forgotten:
        return here is not None and str(network_of(here).network_address) in addresses
    return any(is_near(address, here) for address in addresses)


def _path_to_devices(mail: Mail) -> str:
    return reverse("devices")


paths.update(
    new_sign_in=_path_to_not_me,
    password_changed=lambda mail: reverse("password_reset"),
    **dict.fromkeys(["revoked", "over_limit", "reuse", "other_client"], _path_to_devices),
)
