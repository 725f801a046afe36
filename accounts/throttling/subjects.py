"""Names, accounts, devices and networks as HMACs under SECRET_KEY. The table shows none of them."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.utils.crypto import salted_hmac

from accounts.models import User


@dataclass(frozen=True)
class Key:
    """What is counted: attempts of a kind, on a subject, from a network. b"" stands for any."""

    kind: str
    subject: bytes = b""
    address: bytes = b""


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


def subject_of_device(device: object) -> bytes:
    return hash_text("device", str(device))


def hash_network(address: str) -> bytes:
    """The HMAC of the network that the address stands for; b"" for text that is no address.

    For IPv6 it is the /64, for IPv4 the address itself.
    """
    try:
        found = ip_address(address.strip())
    except ValueError:
        return b""
    found = getattr(found, "ipv4_mapped", None) or found
    length = 64 if found.version == 6 else 32
    return hash_text("network", str(ip_network((int(found), length), strict=False)))


def hash_text(purpose: str, text: str) -> bytes:
    value = text.encode(errors="surrogatepass")
    return salted_hmac(f"accounts.throttling.{purpose}", value, algorithm="sha256").digest()
