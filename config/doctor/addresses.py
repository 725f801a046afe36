from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

from config.doctor.findings import OK, WARNING, Finding
from config.environment import is_loopback
from tokens.client import is_trusted
from tokens.models import IssuedToken
from tokens.user_agents import DeviceType

NEWEST = 100  # sign-ins that are looked at
FEWEST = 5  # sign-ins of several people that tell something


def sign_ins() -> Finding:
    """Whether the addresses of the newest sign-ins can be those of people."""
    by_people = IssuedToken.objects.exclude(device_type=DeviceType.SCRIPT)
    newest = by_people.order_by("-created_at", "-id")[:NEWEST]
    found = list(newest.values_list("ip_address", "user_id"))
    addresses = {address for address, _ in found}
    proxies = [address for address in addresses if _is_of_a_proxy(address)]
    if proxies:
        return Finding(
            WARNING,
            "People signed in from addresses of TRUSTED_PROXIES.",
            "Name there the proxies alone, and let them send X-Forwarded-For. Whoever is in these "
            "networks can claim any address.",
        )
    if None in addresses:
        return Finding(
            WARNING,
            "People signed in from no address.",
            "Let the server listen on TCP: a Unix socket has no address.",
        )
    people = {user for _, user in found}
    if len(found) >= FEWEST and len(people) > 1 and len(addresses) == 1 and _is_inner(*addresses):
        return Finding(
            WARNING,
            f"The newest {len(found)} sign-ins all came from {addresses.pop()}.",
            "That is a proxy: name it in TRUSTED_PROXIES, and let it send X-Forwarded-For. "
            "Otherwise wrong passwords of one client lock everybody out.",
        )
    return Finding(OK, "Those of the newest sign-ins can be those of people.")


def _is_of_a_proxy(address: str | None) -> bool:
    return address is not None and is_trusted(address, settings.TRUSTED_PROXIES)


def _is_inner(address: str) -> bool:
    """Whether it is of a private network. On a site for its own machine, that is right."""
    is_trial = is_loopback(urlsplit(settings.SITE_URL).hostname or "")
    return not is_trial and not ip_address(address).is_global
