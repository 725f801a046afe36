"""Names, accounts, devices and networks as HMACs under SECRET_KEY: the table shows none of them."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from django.utils.crypto import salted_hmac

from accounts.models import User


@dataclass(frozen=True)
class Key:
    """What a count is about: attempts of a kind, on a subject, from a network. b"" means any."""

    kind: str
    subject: bytes = b""
    address: bytes = b""


def canonical(name: str) -> str:
    """A typed name as it is looked up: without regard to case and Unicode form."""
    return User.normalize_username(name.strip()).lower()


def subject_of_name(name: str) -> bytes:
    return hash_text("name", canonical(name))


def subject_of_user(user: User) -> bytes:
    return hash_text("account", str(user.pk))


def subject_of_nobody(name: str) -> bytes:
    """What stands in for the account of an unknown name, so that both are counted alike."""
    return hash_text("nobody", canonical(name))


def subject_of_device(device: object) -> bytes:
    return hash_text("device", str(device))


def hash_network(address: str) -> bytes:
    """The HMAC of the network that counts as one place (IPv6: its /64), b"" without an address."""
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
