"""Reads the log of the site again, for `after_restore`: from files, also gzipped, and from a pipe.

Only whole lines of our own formatter count. A collector may have put its prefix in front of a line,
or may have wrapped it in JSON of its own. A text that a stranger sent is a JSON string within such
a line, so it never begins one. In a line of another program it does not stand right behind the
prefix, so it is not taken for a line of ours.
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import IO, Any

Line = tuple[datetime, str, dict[str, Any]]  # its time, its place ("file:7"), its members

MAX_LINE = 1 << 20  # bytes
SILENCE = timedelta(hours=1)  # a longer time without a line is told
GZIP = b"\x1f\x8b"
SHOWN = 3  # of these times, the longest
OURS = ("accounts.", "tokens.", "config.")  # loggers
# A line that cannot be read, but has this in it or begins like this, may be one of ours.
SUSPECT, BEGINNING = b"accounts.log", '{"time": '
TIME = r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\d[T ]\S+(?: [A-Z]{3,4})?)"
PREFIX = re.compile(
    "|".join(
        (
            rf"(?:<\d+>)?(?:[A-Z][a-z]{{2}} )?{TIME} \S+ [^\s:]+: ",  # journald, syslog
            r"<\d+>1 \S+ \S+ \S+ \S+ \S+ - ",  # syslog (RFC 5424)
            rf"{TIME} std(?:out|err) F ",  # containerd
            rf"\S+ +\| (?:{TIME} )?",  # docker compose
            rf"{TIME} ",  # docker logs --timestamps
        )
    )
)
WRAPPED_IN = ("MESSAGE", "log")  # by journald's JSON, by docker's files


class Unreadable(Exception):
    """The line may be one of ours, and is damaged."""


@dataclass
class Reading:
    """What was read: how far it reaches, and where there is what could not be read."""

    lines: int = 0  # of ours
    others: int = 0  # of other programs
    unreadable: list[str] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    minutes: set[int] = field(default_factory=set)

    def note(self, time: datetime) -> None:
        self.lines += 1
        self.first = min(time, self.first or time)
        self.last = max(time, self.last or time)
        self.minutes.add(int(time.timestamp()) // 60)

    def silences(self) -> list[tuple[datetime, datetime]]:
        """The longest times without a line, from the first to the last, if longer than SILENCE."""
        minutes = sorted(self.minutes)
        pairs = sorted(pairwise(minutes), key=lambda pair: pair[0] - pair[1])
        found = [(_at(start), _at(end)) for start, end in pairs[:SHOWN]]
        return sorted(gap for gap in found if gap[1] - gap[0] > SILENCE)


def read(names: list[str], reading: Reading) -> Iterator[Line]:
    """The lines of ours in these files. The name `-` stands for standard input.

    What cannot be read is noted in `reading`. Raise OSError if a file cannot be opened.
    """
    for name in names:
        place = f"{name}:1"
        with _open(name) as file:
            try:
                for number, raw in enumerate(_lines(file), 1):
                    place = f"{name}:{number}"
                    yield from _read(raw, place, reading)
            except (gzip.BadGzipFile, EOFError, zlib.error):
                reading.unreadable.append(f"{place} and all after it")


def _read(raw: bytes, place: str, reading: Reading) -> Iterator[Line]:
    try:
        line = _parse(raw)
    except Unreadable:
        reading.unreadable.append(place)
        return
    if line is None:
        reading.others += 1
        return
    time = datetime.fromisoformat(line["time"])
    reading.note(time)
    yield time, place, line


@contextmanager
def _open(name: str) -> Iterator[Any]:
    """The file, as bytes, unpacked if it is gzipped. It may be a pipe, so it is opened once."""
    opened: Any = nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb")  # noqa: SIM115
    with opened as file:
        is_packed = file.peek(2)[:2] == GZIP
        yield gzip.GzipFile(fileobj=file) if is_packed else file


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of the file. A line longer than MAX_LINE comes in pieces, none of them readable."""
    while line := file.readline(MAX_LINE):
        yield line


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The members of a line of ours. None for a line of another program. Raise Unreadable."""
    text = raw.decode(errors="replace").strip()
    prefix = PREFIX.match(text)
    body = text[prefix.end() :] if prefix else text
    try:
        return _ours(_object(body))
    except (ValueError, RecursionError):
        if SUSPECT in raw or body.startswith(BEGINNING):
            raise Unreadable from None
        return None


def _ours(line: dict[str, Any]) -> dict[str, Any] | None:
    """The line, or the one that it wraps, if that is one of ours. Raise ValueError."""
    wrapped = next((line[name] for name in WRAPPED_IN if isinstance(line.get(name), str)), None)
    if wrapped is not None and not _is_ours(line):
        line = _object(wrapped)
    return line if _is_ours(line) else None


def _object(text: str) -> dict[str, Any]:
    """The JSON object. Raise ValueError for all else, and if a member comes twice."""
    found = json.loads(text, object_pairs_hook=_once)
    if not isinstance(found, dict):
        raise ValueError
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _is_ours(line: dict[str, Any]) -> bool:
    """Whether it has the members of each line of ours (see `config.logs`). Raise ValueError."""
    if not all(isinstance(line.get(name), str) for name in ("time", "level", "logger", "event")):
        return False
    if not line["logger"].startswith(OURS):
        return False
    if datetime.fromisoformat(line["time"]).tzinfo is None:
        raise ValueError
    return True


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
