"""Reads the environment: one reader for each kind of value, each with its bounds.

A value that is missing, malformed or out of bounds raises an error that names the variable and the
bound. No error repeats the value, because a secret may have been put into the wrong variable.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.http.request import validate_host
from environs import Env, EnvError, validate

env = Env()

YEAR = 365 * 24 * 3600  # seconds
HOST = re.compile(r"\.?(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]+\]", re.IGNORECASE)
SENDER = re.compile(r"""(?:"[^"\\]*"|[^<>:;,@"]*)\s*<([^<>\s]+)>|([^<>:;,\s]+)""")
ANDROID = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")
WIDEST = {4: 8, 6: 7}  # the shortest prefix of a network of proxies: 10.0.0.0/8, fc00::/7
REASONS = ["Reported lost.", "Reported stolen.", "You left the company.", "Looked wrong to us."]
LOCAL = [".localhost", "127.0.0.1", "[::1]"]  # Django allows these hosts with DEBUG on


def duration(name: str, default: timedelta, *, minimum: timedelta, maximum: timedelta) -> timedelta:
    """The variable `name`, in whole seconds."""
    low, high = int(minimum.total_seconds()), int(maximum.total_seconds())
    usual = int(default.total_seconds())
    return timedelta(seconds=number(name, usual, minimum=low, maximum=high, of=" of seconds"))


def number(name: str, default: int, *, maximum: int, minimum: int = 1, of: str = "") -> int:
    try:
        return env.int(name, default, validate=validate.Range(min=minimum, max=maximum))
    except EnvError:
        raise ImproperlyConfigured(
            f"{name} must be a whole number{of} from {minimum} to {maximum}, such as {default}"
        ) from None


def choice(name: str, values: Sequence[str]) -> str:
    """The variable `name`, one of `values`. Without it, the first one."""
    value = env.str(name, "").strip() or values[0]
    if value not in values:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(values)}")
    return value


def port(name: str) -> int | None:
    """A port that needs no rights of the system. None if the variable is not set."""
    return number(name, 9100, minimum=1024, maximum=65_535) if env.str(name, "") else None


def text(name: str, default: str) -> str:
    """The variable `name`, at most 200 characters. It may be left out, but it is not empty."""
    value = env.str(name, default).strip()
    if not 1 <= len(value) <= 200:
        raise ImproperlyConfigured(f"{name} must have 1 to 200 characters")
    return value


def contact(name: str) -> str:
    """How to reach a person, in one line of at most 200 characters. Empty if it is not set."""
    value = env.str(name, "").strip()
    if len(value) > 200 or not value.isprintable():
        raise ImproperlyConfigured(f"{name} must be one printable line of at most 200 characters")
    return value


def reasons(name: str) -> list[str]:
    """The variable `name`: 1 to 10 texts of at most 200 characters, separated by semicolons."""
    found = [item.strip() for item in env.str(name, "").split(";") if item.strip()] or REASONS
    if len(found) > 10 or not all(len(item) <= 200 and item.isprintable() for item in found):
        raise ImproperlyConfigured(
            f"{name} must be at most 10 printable texts of at most 200 characters, text; text"
        )
    return found


def words(name: str, read: Callable[[str], Any] = str) -> list[Any]:
    """The comma-separated variable `name`. `read` makes a value of each item, or a ValueError."""
    items = [item.strip() for item in env.str(name, "").split(",")]
    found = []
    for position, item in enumerate(filter(None, items), 1):
        try:
            found.append(read(item))
        except ValueError as error:
            reason = error if isinstance(error, _Refused) else "cannot be read"
            raise ImproperlyConfigured(f"{name}: item {position} {reason}") from None
    return found


def hosts(name: str) -> list[str]:
    return words(name, _host)


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return words(name, _network)


def trusted_origins(name: str) -> list[str]:
    """Origins as in Django's CSRF_TRUSTED_ORIGINS: `https://*.example.org` has a wildcard."""
    return words(name, lambda item: _origin(item, wildcard=True))


def open_origins(name: str) -> list[str]:
    """Origins, or `*` alone, which means every origin."""
    return ["*"] if env.str(name, "").strip() == "*" else words(name, _origin)


def passkey_origins(name: str, site_url: str) -> list[str]:
    """Origins of apps that may use passkeys of this site, besides `site_url`.

    Of Android apps `android:apk-key-hash:` and the hash of the signing certificate, and https
    origins of the host of `site_url` or below it.
    """

    def read(item: str) -> str:
        if item.startswith("android:"):
            if ANDROID.fullmatch(item):
                return item
            raise _Refused("must end in the SHA-256 of the certificate, in base64url")
        host, own = urlsplit(_origin(item)).hostname or "", urlsplit(site_url).hostname or ""
        if not item.startswith("https://") or not f".{host}".endswith(f".{own}"):
            raise _Refused("must be an https origin of the host of SITE_URL, or below it")
        return item

    return words(name, read)


def site(name: str, default: str, allowed_hosts: list[str], *, debug: bool) -> str:
    """The address of this site, without a slash at its end.

    Its host is one of `allowed_hosts`. Plain http is for loopback hosts alone.
    """
    value = env.str(name, default).strip().removesuffix("/")
    try:
        url = urlsplit(_origin(value))
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be the address of this site without a path, https://example.org"
        ) from None
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise ImproperlyConfigured(f"{name} must be https; http is for loopback hosts alone")
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    if not validate_host(host, allowed_hosts or (LOCAL if debug else [])):
        raise ImproperlyConfigured(f"{name}: its host must be one of ALLOWED_HOSTS")
    return value


def sender(name: str, default: str) -> str:
    """An email address with or without a name: `Guestlist <guestlist@example.org>`."""
    value = env.str(name, default).strip()
    try:
        _address(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be the address that mails come from, Guestlist <guestlist@example.org>"
        ) from None
    return value


def recipients(name: str) -> list[tuple[str, str]]:
    """At most 10 comma-separated addresses, as pairs of a name, which is empty, and an address."""
    found = words(name, _address)
    if len(found) > 10:
        raise ImproperlyConfigured(f"{name} must be at most 10 addresses")
    return [("", address) for address in found]


def preload(name: str, seconds: int, *, subdomains: bool) -> bool:
    """Whether browsers may ship with the site in their list of sites of TLS.

    That list takes only sites whose HSTS lasts a year and includes subdomains.
    """
    is_possible = subdomains and seconds >= YEAR
    value = env.bool(name, is_possible)
    if value and not is_possible:
        raise ImproperlyConfigured(
            f"{name} needs SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_SECONDS of {YEAR} or more"
        )
    return value


def file(name: str) -> str:
    """The path of a file that can be read. Empty if the variable is not set."""
    path = env.str(name, "")
    if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):
        raise ImproperlyConfigured(f"{name} must be a file that can be read")
    return path


def mail_server(name: str, default: str) -> dict[str, Any]:
    """Django's settings for sending mail, from a URL."""
    schemes = ("smtp://", "smtps://", "submission://", "submit://", "console://")
    wrong = ImproperlyConfigured(f"{name} must be smtp://, submission:// or console://")
    if not env.str(name, default).startswith(schemes):
        raise wrong
    try:
        return env.dj_email_url(name, default)
    except ValueError:
        raise wrong from None


def secret(name: str, default: str) -> str:
    """A random text of 50 characters or more.

    Random text has many characters, and three in a row hardly ever come again.
    """
    value = env.str(name, "") or default
    triples = {value[start : start + 3] for start in range(len(value) - 2)}
    if len(value) < 50 or len(set(value)) < 10 or 2 * len(triples) < len(value):
        raise ImproperlyConfigured(f"{name} must be set, at random, to at least 50 characters")
    return value


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Refused(ValueError):
    """What is wrong with an item. Its text goes into the message."""


def _address(item: str) -> str:
    """The email address of `Ana <ana@example.org>` or `ana@example.org`."""
    match = SENDER.fullmatch(item)
    address = match and (match[1] or match[2])
    try:
        validate_email(address)
    except ValidationError:
        raise _Refused("must be an email address: Ana <ana@example.org>") from None
    return str(address)


def _host(item: str) -> str:
    if item != "*" and not HOST.fullmatch(item):
        raise _Refused("must be a host alone, without scheme, port or path: example.org")
    return item


def _network(item: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(item)
    except ValueError:
        raise _Refused("must be an address or a network: 10.0.0.7 or 10.0.0.0/8") from None
    if network.prefixlen < WIDEST[network.version]:
        raise _Refused("is wider than /8 (IPv6: /7), so strangers could say who they are")
    return network


def _origin(item: str, *, wildcard: bool = False) -> str:
    refused = _Refused("must be an origin without a path: https://example.org")
    try:
        url: SplitResult = urlsplit(item)
        host, port = url.netloc, url.port
    except ValueError:
        raise refused from None
    if port is not None:
        host = host.removesuffix(f":{port}")
    if wildcard:
        host = host.removeprefix("*.")
    if url.scheme not in ("http", "https") or not HOST.fullmatch(host) or host.startswith("."):
        raise refused
    if item != f"{url.scheme}://{url.netloc}":
        raise refused
    return item
