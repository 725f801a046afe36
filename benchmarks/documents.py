"""Measurements in docs/performance.md and README.md, each between markers of its own."""

import platform
import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count, sysconf
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = (
    "Django djangorestframework PyJWT psycopg gunicorn djangorestframework-simplejwt"
    " django-rest-knox django-rest-durin django-oauth-toolkit django-allauth"
).split()


def write(section: str, text: str, path: Path = DOCS / "performance.md") -> None:
    """Put `text` between the markers of `section` in the document."""
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    before, found, rest = path.read_text().partition(start)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise ValueError(f"{path} has lost the markers of {section}")
    path.write_text(before + start + text + end + after)


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows as a Markdown table; the first one is the head."""
    head, *body = [[str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """What the measurement ran on, for a sentence."""
    memory = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cpu_count()} cores ({_processor()}), {memory:.0f} GB of memory,"
        f" {platform.system()} {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def setting() -> str:
    """When, where and with what this is measured, in two sentences."""
    return f"on {today()}: {machine()}. {versions()}."


def versions() -> str:
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
