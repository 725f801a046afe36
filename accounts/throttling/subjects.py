"""Names, accounts, devices and networks as HMACs under SECRET_KEY. The table shows none of them."""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings

from accounts.models import User


@dataclass(frozen=True)
class Key:
    """What is counted: attempts of a kind, on a subject, from a network. b"" stands for any.

    A `wide` network holds many of those that count as one place, so its limit is higher.
    """

    kind: str
    subject: bytes = b""
    address: bytes = b""
    wide: bool = field(default=False, compare=False)


def canonical(name: str) -> str:
    """The form in which a typed name is looked up: trimmed, in NFKC and in lower case."""
    return User.normalize_username(name.strip()).lower()


def subject_of_name(name: str) -> bytes:
    return hash_text("name", canonical(name))


def subject_of_user(user: User) -> bytes:
    return hash_text("account", str(user.pk))


def subject_of_unknown(name: str) -> bytes:
    """Stands in for the account when the name is unknown, so that both are counted alike."""
    return hash_text("nobody", canonical(name))


def subject_of_mails(user: User, kind: str) -> bytes:
    return hash_text("mails", f"{user.pk} {kind}")


def subject_of_device(device: object) -> bytes:
    return hash_text("device", str(device))


def hash_network(address: str, prefix: int = 64) -> bytes:
    """The HMAC of the network that counts as one place, or b"" without an address.

    An IPv4 address is a place of its own. Of an IPv6 address it is the /64, or another `prefix`.
    """
    found = _read(address)
    return b"" if found is None else _hash_network(found, prefix)


def keys_of_networks(kind: str, address: str) -> list[Key]:
    """The keys of the networks of this address, the one that counts as a place first.

    An IPv6 /48 counts as well, with a higher limit.
    """
    found = _read(address)
    if found is None:
        return []
    keys = [Key(kind, address=_hash_network(found, 64))]
    if found.version == 6:
        keys.append(Key(kind, address=_hash_network(found, 48), wide=True))
    return keys


def hash_text(purpose: str, text: str) -> bytes:
    value = text.encode(errors="surrogatepass")
    return hmac.digest(_key(settings.SECRET_KEY, purpose), value, "sha256")


@lru_cache
def _key(secret: str, purpose: str) -> bytes:
    """The key that Django's `salted_hmac` derives for this purpose, once for all attempts."""
    return hashlib.sha256(f"accounts.throttling.{purpose}{secret}".encode()).digest()


def _hash_network(found: IPv4Address | IPv6Address, prefix: int) -> bytes:
    length = prefix if found.version == 6 else 32
    return hash_text("network", str(ip_network((int(found), length), strict=False)))


def _read(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
