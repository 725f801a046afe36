"""The goals, and why the ones that are missed are missed."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.results import Results, ratio

US, SJ, BLACKLIST, KNOX = "guestlist", "simple_jwt", "blacklist", "knox"
# The measure, whom it is compared with, and at most how much of their time on each database.
TIMES = [
    ("`authenticate()`", "authenticate", SJ, {"SQLite": 0.30, "PostgreSQL": 0.45}),
    ("whole request", "request", SJ, {"SQLite": 0.55, "PostgreSQL": 0.55}),
    ("whole request", "request", KNOX, {"SQLite": 0.35, "PostgreSQL": 0.35}),
    ("login", "login", BLACKLIST, {"SQLite": 1.1, "PostgreSQL": 1.3}),
    ("refresh", "refresh", BLACKLIST, {"SQLite": 0.5, "PostgreSQL": 0.5}),
]
# Calls of Python functions at most.
CALLS = [
    ("`authenticate()`", "authenticate", {"SQLite": 200, "PostgreSQL": 260}),
    ("whole request", "request", {"SQLite": 1_040, "PostgreSQL": 1_110}),
    ("`/me`", "me", {"SQLite": 1_300, "PostgreSQL": 1_300}),
    ("list of devices", "devices", {"SQLite": 5_500, "PostgreSQL": 5_500}),
    ("login", "login", {"SQLite": 3_000, "PostgreSQL": 3_500}),
    ("login among failures", "login_among_strangers", {"SQLite": 3_000, "PostgreSQL": 3_600}),
    ("wrong password", "wrong_password", {"SQLite": 3_300, "PostgreSQL": 3_650}),
]
RATES = {"SQLite": 1.6, "PostgreSQL": 1.8}
NAMES = {SJ: "Simple JWT", BLACKLIST: "Simple JWT with blacklist", KNOX: "knox"}
WHY = {
    "request": "**A whole request**: the stateless row is nearly all Django, its middleware and"
    " REST framework, which take the same time for all. Guestlist adds the signature, the way to"
    " the database and back, and the row: some 170 calls, half of them the driver's.",
    "login": "**A login** sends nine statements where Simple JWT sends two, and each is a trip to"
    " PostgreSQL. The limits, the lock and the device need them; see [Signing in](#signing-in).",
    "http": "**Over HTTP** the work of gunicorn is added to each request of each contender, so"
    " that all are nearer to each other than in one process.",
    "p99": "**The slowest requests** write the time last seen. In this run each of the 100 devices"
    " is due in each round, which is more than one request in a hundred.",
}


@dataclass(frozen=True)
class Goal:
    what: str
    value: float
    limit: float
    is_floor: bool = False
    why: str = ""

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.is_floor else self.value <= self.limit

    @property
    def wanted(self) -> str:
        return f"at {'least' if self.is_floor else 'most'} {_shown(self.limit)}"

    @property
    def measured(self) -> str:
        return _shown(self.value)


def goals(found: Mapping[str, Results]) -> Iterator[Goal]:
    for what, measure, base, limits in TIMES:
        for database, results in found.items():
            value = ratio(results.times[measure], US, base).median
            title = f"{what} / {NAMES[base]}, {database}"
            yield Goal(title, value, limits[database], why=WHY.get(measure, ""))
    for what, measure, most in CALLS:
        for database, results in found.items():
            calls = results.counts[measure][US].calls
            yield Goal(f"{what}, calls, {database}", calls, most[database])
    for database, results in found.items():
        if results.http:
            yield from _over_http(database, results)


def milliseconds(results: Results, what: str) -> float:
    return statistics.median(results.times[what][US]) * 1000


def _over_http(database: str, results: Results) -> Iterator[Goal]:
    rate, p99 = (results.over_http(US, at) / results.over_http(SJ, at) for at in (0, 2))
    title = f"requests a second / Simple JWT, {database}"
    yield Goal(title, rate, RATES[database], is_floor=True, why=WHY.get("http", ""))
    yield Goal(f"p99 / Simple JWT, {database}", p99, 0.9, why=WHY.get("p99", ""))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
