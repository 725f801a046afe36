"""Reads a user agent: the names of the client and the system, and the kind of device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import ua_parser
from django.db import models

from accounts.text import clean_text

USER_AGENT_LENGTH = 512  # characters
CLIENT_LENGTH = 64  # characters of the name of a client or a system

# The name of a product: one to three words before a version or a comment. The first word has a
# letter at its start, or after digits.
PRODUCT = re.compile(
    r"((?=[0-9]*[^\W\d_])[^\W_][\w.+-]*(?: (?!v[0-9])[^\W\d_][\w.+-]*){0,2})"
    r"(?:/| ?\(| v?[0-9]|$)"
)

SCRIPT = re.compile(
    r"aiohttp|Apache-HttpClient|aws-[\w-]+|axios|Boto3?|bruno-runtime|Bun|curl|Deno|Faraday|fetch"
    r"|git|Go-http-client|got|GuzzleHttp|HTTPie|insomnia|Java|Java-http-client|k6|libcurl[\w-]*"
    r"|libwww-perl|lua-resty-http|node|node-fetch|PHP|PostmanRuntime|PowerShell|PycURL"
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
    # What ua-parser calls a web view on a Mac. People do not sign in from Mail itself.
    "Apple Mail": IN_APP,
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
    """What a client says that it runs on. It chooses icons and labels. It decides nothing."""

    DESKTOP = "desktop"
    PHONE = "phone"
    TABLET = "tablet"
    APP = "app"
    SCRIPT = "script"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class ParsedUserAgent:
    """The client, its system and its kind of device.

    The names have at most 64 characters, and "" means unknown. `device_type` is a value of
    `DeviceType`.
    """

    browser: str
    os: str
    device_type: str


def parse_user_agent(user_agent: str) -> ParsedUserAgent:
    """Read which client, system and kind of device a user agent claims, without versions.

    A hostile string can take a fifth of a second. So call this at sign-in, and not in each request.
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
    """Read the user agent of a script or a native app. Its own name comes first in it."""
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
    # Native apps name only the kernel, Darwin. With an Intel processor, the device is a Mac.
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
        browser=clean_text(browser, CLIENT_LENGTH),
        os=clean_text(system, CLIENT_LENGTH),
        device_type=device_type.value,
    )


def device_label(*, browser: str, os: str, device_type: str) -> str:
    """The label that people read: "Firefox on Linux", "Safari on iPhone", "curl"."""
    if not browser and not os:
        return "Script" if device_type == DeviceType.SCRIPT else "Unknown device"
    unnamed = "App" if device_type in (DeviceType.APP, DeviceType.UNKNOWN) else "Browser"
    what = browser or unnamed
    where = _where(os, device_type)
    return f"{what} on {where}" if where else what


@lru_cache(maxsize=1024)  # a browser sends the same one with each request
def parse_family(user_agent: str) -> str:
    """The name of the client alone: "Firefox"."""
    return parse_user_agent(user_agent).browser


def client_name(user_agent: str) -> str:
    """The label of a client from its user agent alone. As slow as `parse_user_agent`."""
    agent = parse_user_agent(user_agent)
    return device_label(browser=agent.browser, os=agent.os, device_type=agent.device_type)


def _where(os: str, device_type: str) -> str:
    if os == "iOS":
        apple: dict[str, str] = {DeviceType.PHONE: "iPhone", DeviceType.TABLET: "iPad"}
        return apple.get(device_type, "iPhone or iPad")
    return {"macOS": "Mac", "ChromeOS": "Chromebook"}.get(os, os)
