"""Finds the place of an IP address, in a file on this host."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import maxminddb
from django.conf import settings

from accounts.text import clean_text
from tokens.client import is_near, parse_address

logger = logging.getLogger(__name__)
LOCATION_LENGTH = 128
COUNTRY_FILE = Path(__file__).with_name("geo") / "country.mmdb"


def locate(ip_address: str | None) -> str:
    """The place of an address: "Germany", or "Berlin, Germany" if the file knows cities.

    "" if the place is unknown or the file cannot be read. An unusable file is one warning in the
    log, and never an error.
    """
    address = parse_address(ip_address or "")
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


def are_near(first: str | None, second: str | None) -> bool:
    """Whether two addresses are in one network, or in one country that is known.

    Where connections have no address, as behind a socket, they count as near.
    """
    if first == second or is_near(first, second):
        return True
    country = locate(first).rpartition(", ")[2]
    return bool(country) and country == locate(second).rpartition(", ")[2]


def _english_name(record: object, kind: str) -> str:
    for key in (kind, "names", "en"):
        record = record.get(key) if isinstance(record, dict) else None
    return record if isinstance(record, str) else ""


@lru_cache(maxsize=8)
def _open_database(path: str) -> maxminddb.Reader:
    # The reader in Python. The one in C is quicker, but a damaged file can crash the process.
    return maxminddb.open_database(path, maxminddb.MODE_MMAP)


@lru_cache(maxsize=8)
def _warn_once(path: str, problem: str) -> None:
    logger.warning("location file unusable: %s (%s)", path, problem)
