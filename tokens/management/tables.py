"""Devices as a table on a terminal."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from accounts.text import clean_text
from tokens.models import IssuedToken
from tokens.stories import address_text

HEADINGS = ("USER", "CLIENT", "KIND", "STATE", "ADDRESS", "PLACE", "SEEN", "SIGNED IN", "ID")
MAX_CELL_LENGTH = 36  # characters; an id has as many


def device_table(devices: Iterable[IssuedToken]) -> str:
    """A heading and one line a device, in aligned columns. The devices are from `with_state()`."""
    rows = [HEADINGS, *(_row(device) for device in devices)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(device: IssuedToken) -> tuple[str, ...]:
    reason = device.ended_reason
    cells = (
        device.user.get_username(),
        str(device),
        device.kind,
        f"{device.state} ({reason})" if reason else device.state,
        address_text(device, device.last_ip) or "-",
        device.location or "-",
        _ago(device.last_seen_at, device.now),
        _ago(device.created_at, device.now),
        str(device.pk),
    )
    return tuple(_cut(cell) for cell in cells)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _cut(text: str) -> str:
    """The text of a cell, without control characters, which a terminal would obey."""
    text = clean_text(text, MAX_CELL_LENGTH + 1)
    return text if len(text) <= MAX_CELL_LENGTH else f"{text[: MAX_CELL_LENGTH - 1]}…"


def _ago(time: datetime, now: datetime) -> str:
    """How long ago in whole days, hours or minutes: "12d", "3h", "5m" or "now"."""
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if now - time >= length:
            return f"{(now - time) // length}{unit}"
    minutes = (now - time) // timedelta(minutes=1)
    return f"{minutes}m" if minutes > 0 else "now"
