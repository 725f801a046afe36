"""Who is asking: the address, the place and the program of a request, as text for people.

Nothing here decides whether somebody is let in: a user agent and a place are hearsay. The
address alone is trustworthy, because `client_address` believes only the configured proxies.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from ipaddress import ip_address as parse_ip
from pathlib import Path
from urllib.parse import unquote

import maxminddb
import ua_parser
from django.conf import settings
from django.db import models
from django.http import HttpRequest

from accounts.validators import UNPRINTABLE

logger = logging.getLogger(__name__)

USER_AGENT_LENGTH = 512
NAME_LENGTH = 64
LOCATION_LENGTH = 128
MAX_FORWARDED_HOPS = 32
COUNTRY_FILE = Path(__file__).with_name("geo") / "country.mmdb"

HOST_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")

# A product is up to three words, at least one letter in the first, before its version or comment.
PRODUCT = re.compile(
    r"((?=[0-9]*[^\W\d_])[^\W_][\w.+-]*(?: (?!v[0-9])[^\W\d_][\w.+-]*){0,2})"
    r"(?:/| ?\(| v?[0-9]|$)"
)
SCRIPT = re.compile(
    r"aiohttp|Apache-HttpClient|aws-[\w-]+|axios|Boto3?|bruno-runtime|Bun|curl|Deno|Faraday|fetch"
    r"|git|Go-http-client|got|GuzzleHttp|HTTPie|insomnia|Java|Java-http-client|k6|libcurl[\w-]*"
    r"|libwww-perl|lua-resty-http|node|node-fetch|okhttp|PHP|PostmanRuntime|PowerShell|PycURL"
    r"|Python|python-httpx|python-requests|Python-urllib|python-urllib3|rclone|reqwest|RestSharp"
    r"|Ruby|superagent|Thunder Client|undici|urllib3|Wget2?|xh|[\w -]*(?:bot|crawler|spider)",
    re.IGNORECASE,
)
NAMED_INSIDE = re.compile(r"(aiohttp|PowerShell)/")
ELECTRON_APP = re.compile(r"like Gecko\) ([\w.-]+)/\S+ Chrome/")
PHONE = re.compile(r"^(?!.*Tablet).*(?:Mobi|Opera Mini)")
TELEVISION = re.compile(r"\bTV\b|Smart-?TV|BRAVIA|CrKey|\bAFT[A-Z]", re.IGNORECASE)

IN_APP = "In-app browser"
BROWSERS = {
    "Android": "Android Browser",
    "Apple Mail": IN_APP,  # What a web view on a Mac looks like; nobody signs in from Mail.
    "Chrome Mobile WebView": IN_APP,
    "Google": "Google app",
    "IE": "Internet Explorer",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": IN_APP,
}
BROWSER_SUFFIX = re.compile(r"(?: (?:Android|iOS|Mobile|Tablet))+$")
SYSTEMS = {"Mac OS X": "macOS", "Mac OS": "macOS", "Chrome OS": "ChromeOS"}
LINUX = re.compile(
    r"Arch Linux|BackTrack|CentOS|Debian|Fedora|Gentoo|K?ubuntu|Lubuntu|Mageia|openSUSE|PCLinuxOS"
    r"|Puppy|Red Hat|Slackware|SUSE",
    re.IGNORECASE,
)
DESKTOPS = {"Windows", "macOS", "Linux", "ChromeOS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"}


class DeviceType(models.TextChoices):
    """What a client runs on, as far as it says so: the choice of an icon and no more."""

    DESKTOP = "desktop"
    PHONE = "phone"
    TABLET = "tablet"
    APP = "app"
    SCRIPT = "script"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who is asking: the trusted address and the user agent.

    The address is canonical text without port, zone or IPv4 mapping, or None when the connection
    has none. The user agent is as sent, but printable and at most 512 characters.
    """

    ip_address: str | None
    user_agent: str = ""

    @classmethod
    def from_request(cls, request: HttpRequest) -> Client:
        """Read REMOTE_ADDR, which the middleware has made trustworthy, and the User-Agent."""
        address = _parse_address(request.META.get("REMOTE_ADDR", ""))
        return cls(
            ip_address=str(address) if address else None,
            user_agent=clean_text(request.META.get("HTTP_USER_AGENT", ""), USER_AGENT_LENGTH),
        )


@dataclass(frozen=True, kw_only=True)
class ParsedUserAgent:
    """A program, its system and its kind of device, each at most 64 characters, "" if unknown.

    `device_type` is always a value of `DeviceType`.
    """

    browser: str
    os: str
    device_type: str


def client_address(
    remote_addr: str,
    forwarded_for: str,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
) -> str | None:
    """Return the nearest address that is not a trusted proxy, or None without a peer address.

    X-Forwarded-For is read from the right and only as far as trusted hops vouch for it, at most
    32 of them; at garbage the last good address stands.
    """
    address = _parse_address(remote_addr)
    for hop in reversed(forwarded_for.rsplit(",", MAX_FORWARDED_HOPS - 1)):
        if not _is_within(address, trusted_proxies):
            break
        forwarded = _parse_address(hop)
        if forwarded is None:
            break
        address = forwarded
    return str(address) if address else None


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An address or a CIDR block; IPv4 inside IPv6 as the IPv4 that devices are stored with.

    Raise ValueError, also for a zone (`%eth0`): it means nothing outside its own host.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    network = ip_network(text.strip(), strict=False)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


def is_trusted(remote_addr: str, trusted_proxies: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether the peer is one of the proxies whose forwarding headers count."""
    return _is_within(_parse_address(remote_addr), trusted_proxies)


def _is_within(
    address: IPv4Address | IPv6Address | None,
    networks: Sequence[IPv4Network | IPv6Network],
) -> bool:
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=256)  # asked by the middleware and then again in the same request
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    match = HOST_WITH_PORT.fullmatch(text)
    try:
        address = parse_ip(match[1] or match[2] if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def clean_text(value: str, max_length: int) -> str:
    """Return the text without unprintable characters and outer spaces, cut to the length."""
    return UNPRINTABLE.sub("", value).strip()[:max_length].rstrip()


def parse_user_agent(user_agent: str) -> ParsedUserAgent:
    """Name the program, system and kind of device that a user agent claims to be, no versions.

    Takes up to a fifth of a second for a hostile string: call it once, at sign-in.
    """
    text = clean_text(user_agent, USER_AGENT_LENGTH)
    found = ua_parser.parse(text)
    browser = found.user_agent.family if found.user_agent else ""
    device = found.device.family if found.device else ""
    system = _system(text, found.os.family if found.os else "")
    if not text.startswith(("Mozilla/", "Opera/")):
        return _parse_product(text, system)
    if device == "Spider":
        return _parsed(browser, "", DeviceType.SCRIPT)
    if match := NAMED_INSIDE.search(text):
        return _parsed(match[1], system, DeviceType.SCRIPT)
    if browser == "Electron" and (match := ELECTRON_APP.search(text)):
        return _parsed(match[1], system, DeviceType.APP)
    browser = BROWSER_SUFFIX.sub("", browser)
    return _parsed(BROWSERS.get(browser, browser), system, _hardware(text, system, device))


def _parse_product(text: str, system: str) -> ParsedUserAgent:
    """Read what a script or a native app sends: its own name first, then what it runs on."""
    match = NAMED_INSIDE.search(text) or PRODUCT.match(unquote(text))
    name = match[1] if match else ""
    if SCRIPT.fullmatch(name):
        return _parsed(name, system, DeviceType.SCRIPT)
    if name == "Dalvik":
        return _parsed("", system, DeviceType.APP)
    if not name or name == text:
        return _parsed("", system, DeviceType.UNKNOWN)
    return _parsed(name, system, DeviceType.APP)


def _system(text: str, family: str) -> str:
    if "Darwin/" in text and "(x86_64)" in text:
        return "macOS"
    if not family and re.search(r"\b(?:macOS|Macintosh)\b", text):
        return "macOS"
    if LINUX.fullmatch(family):
        return "Linux"
    return SYSTEMS.get(family, family)


def _hardware(text: str, system: str, device: str) -> DeviceType:
    if device == "iPad":
        return DeviceType.TABLET
    if system in DESKTOPS:
        return DeviceType.DESKTOP
    if TELEVISION.search(text):
        return DeviceType.UNKNOWN
    if device == "iPhone" or PHONE.search(text):
        return DeviceType.PHONE
    # Browsers on Android say "Mobile" on a phone and nothing on a tablet.
    return DeviceType.TABLET if system == "Android" else DeviceType.UNKNOWN


def _parsed(browser: str, system: str, device_type: DeviceType) -> ParsedUserAgent:
    return ParsedUserAgent(
        browser=clean_text(browser, NAME_LENGTH),
        os=clean_text(system, NAME_LENGTH),
        device_type=device_type.value,
    )


def device_label(*, browser: str, os: str, device_type: str) -> str:
    """Return "Firefox on Linux", "Safari on iPhone", "App on Android", "curl": for people."""
    if not browser and not os:
        return "Script" if device_type == DeviceType.SCRIPT else "Unknown device"
    unnamed = "App" if device_type in (DeviceType.APP, DeviceType.UNKNOWN) else "Browser"
    what = browser or unnamed
    where = _where(os, device_type)
    return f"{what} on {where}" if where else what


def client_name(user_agent: str) -> str:
    """The label of a client from its user agent alone. As dear as `parse_user_agent`."""
    agent = parse_user_agent(user_agent)
    return device_label(browser=agent.browser, os=agent.os, device_type=agent.device_type)


def _where(os: str, device_type: str) -> str:
    if os == "iOS":
        apple: dict[str, str] = {DeviceType.PHONE: "iPhone", DeviceType.TABLET: "iPad"}
        return apple.get(device_type, "iPhone or iPad")
    return {"macOS": "Mac", "ChromeOS": "Chromebook"}.get(os, os)


def locate(ip_address: str | None) -> str:
    """Return "Germany", with a city file "Berlin, Germany", or "" when the place is unknown.

    A file that cannot be read is one warning in the log and no place, never an error.
    """
    address = _parse_address(ip_address or "")
    if address is None or not address.is_global:
        return ""
    path = settings.GEOIP_PATH or str(COUNTRY_FILE)
    try:
        record = _open_database(path).get(address)
    except Exception as error:  # A damaged file makes the reader raise nearly anything.
        _warn_once(path, type(error).__name__)
        return ""
    names = [_english_name(record, kind) for kind in ("city", "country")]
    return clean_text(", ".join(filter(None, names)), LOCATION_LENGTH)


def _english_name(record: object, kind: str) -> str:
    for key in (kind, "names", "en"):
        record = record.get(key) if isinstance(record, dict) else None
    return record if isinstance(record, str) else ""


@lru_cache(maxsize=8)
def _open_database(path: str) -> maxminddb.Reader:
    # The reader in C is quicker, but a damaged file can make it crash the process.
    return maxminddb.open_database(path, maxminddb.MODE_MMAP)


@lru_cache(maxsize=8)
def _warn_once(path: str, problem: str) -> None:
    logger.warning("location file unusable: %s (%s)", path, problem)
