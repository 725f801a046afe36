"""What a call does: function calls, statements, waits for the disk, messages to the database.

strace sees the last two. It must be installed, and may look into this process.
"""

import cProfile
import os
import pstats
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

SAMPLE = 7  # calls of each kind that are looked at; the figure is their median
NEXT, END = "## next", "## end"
SYSTEM_CALLS = "trace=fdatasync,fsync,sendto,write"

Calls = list[Callable[[], Any]]


class Counts(NamedTuple):
    """Of one call. The last two are None where strace is missing."""

    calls: int
    statements: int
    waits: int | None
    trips: int | None


def observe(some: Callable[[int], Calls]) -> Counts:
    """The counts of the calls that `some(n)` makes `n` of."""
    waits, trips = _count_from_outside(some(SAMPLE)) or (None, None)
    return Counts(_count_calls(some(SAMPLE)), _count_statements(some(SAMPLE)), waits, trips)


def _median(found: Iterable[int]) -> int:
    return int(statistics.median(found))


def _count_calls(calls: Calls) -> int:
    """Python function calls, those of built-in functions included."""
    counts = []
    for call in calls:
        profile = cProfile.Profile()
        profile.runcall(call)
        counts.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
    return _median(counts)


def _count_statements(calls: Calls) -> int:
    """Statements, BEGIN and COMMIT included."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for call in calls:
        with CaptureQueriesContext(connection) as captured:
            call()
        counts.append(len(captured))
    return _median(counts)


def _count_from_outside(calls: Calls) -> tuple[int, int] | None:
    """Waits for the disk and messages to the server."""
    if not shutil.which("strace"):
        return None
    waits_of_server = []
    with tempfile.NamedTemporaryFile() as trace, open(os.devnull, "wb", buffering=0) as marks:
        look_at = ["-f", "-e", SYSTEM_CALLS, "-o", trace.name, "-p", str(os.getpid())]
        strace = subprocess.Popen(["strace", *look_at], stderr=subprocess.PIPE, text=True)
        assert strace.stderr
        if "attached" not in strace.stderr.readline():
            strace.wait()
            return None
        for call in calls:
            before = _waits_of_server()
            marks.write(NEXT.encode())
            call()
            marks.write(END.encode())
            waits_of_server.append(_waits_of_server() - before)
        strace.terminate()
        strace.wait()
        lines = trace.read().decode()
    seen = re.findall(f"{NEXT}(.*?){END}", lines, re.DOTALL)
    waits = [len(re.findall(r"\bf(?:data)?sync\(", each)) for each in seen]
    trips = [len(re.findall(r"\bsendto\(", each)) for each in seen]
    return _median(waits) + min(waits_of_server), _median(trips)


def _waits_of_server() -> int:
    """How often PostgreSQL has waited for its log so far, for everybody: others only add to it."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT wal_sync FROM pg_stat_wal")
        (waits,) = cursor.fetchone()
    return waits
