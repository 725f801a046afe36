"""Devices as CSV for a spreadsheet or as JSON for a script. The answer is streamed."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from django.http import StreamingHttpResponse

from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.stories import address_text

CHUNK_SIZE = 2000  # rows read at once
FIELDS = [
    "id",
    "username",
    "kind",
    "state",
    "name",
    "label",
    "ip_address",
    "last_ip",
    "location",
    "method",
    "passkey_at",
    "created_at",
    "last_seen_at",
    "expires_at",
    "revoked_at",
    "revoked_by",
    "revoked_reason",
    "revoked_note",
]
# A spreadsheet computes a text that begins with one of these (OWASP, CSV injection). The last
# four are the full-width forms of = + - @.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
SEPARATOR_AND_FORMULA = re.compile(rf"([,;|])(\s*[{re.escape(''.join(FORMULA_STARTS))}])")
BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows that the text is UTF-8


class Echo:
    """A file for `csv.writer`. It returns each line instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def csv_response(devices: IssuedTokenQuerySet) -> StreamingHttpResponse:
    writer = csv.writer(Echo())
    rows = ([_plain(value) for value in row.values()] for row in _rows(devices))
    lines = (writer.writerow(row) for row in _with_header(rows))
    return _stream(chain([BYTE_ORDER_MARK], lines), "text/csv; charset=utf-8", "csv")


def json_response(devices: IssuedTokenQuerySet) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        before = "["
        for row in _rows(devices):
            yield before + json.dumps(row)
            before = ",\n"
        yield "[]" if before == "[" else "]"

    return _stream(lines(), "application/json", "json")


def _rows(devices: IssuedTokenQuerySet) -> Iterator[dict[str, Any]]:
    """Read by key and not with a cursor, which a pooler of transactions would lose."""
    keys = list(devices.values_list("pk", flat=True))
    for start in range(0, len(keys), CHUNK_SIZE):
        chunk = keys[start : start + CHUNK_SIZE]
        found = devices.with_state().in_bulk(chunk)
        for device in (found[key] for key in chunk if key in found):
            yield {field: _value(device, field) for field in FIELDS}


def _value(device: IssuedToken, field: str) -> str | None:
    if field == "username":
        return device.user.get_username()
    if field == "revoked_by":
        return device.revoked_by_name
    if field == "revoked_reason":
        return device.ended_reason
    value = getattr(device, field)
    if field in ("ip_address", "last_ip"):
        return address_text(device, value) or None
    return value.isoformat() if hasattr(value, "isoformat") else value and str(value)


def _with_header(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    yield FIELDS
    yield from rows


def _plain(value: str | None) -> str:
    """The text of a cell. A quote in front of a formula keeps a spreadsheet from computing it.

    A spreadsheet that guesses another separator begins a cell in the middle of the text.
    """
    text = SEPARATOR_AND_FORMULA.sub(r"\1'\2", value or "")
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _stream(lines: Iterable[str], content_type: str, suffix: str) -> StreamingHttpResponse:
    disposition = f'attachment; filename="devices.{suffix}"'
    return StreamingHttpResponse(
        lines, content_type=content_type, headers={"Content-Disposition": disposition}
    )
