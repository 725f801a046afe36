"""The results of `compare` as tables, next to their targets, and as a picture."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import chart, documents
from benchmarks.contenders import CONTENDERS
from benchmarks.documents import table

SECTION, PICTURE = "benchmark", "performance.svg"
TITLES = {name: contender.title for name, contender in CONTENDERS.items()}
US, SJ, BLACKLIST, KNOX = "guestlist", "simple_jwt", "blacklist", "knox"


@dataclass
class Results:
    """Of one database, by measure and contender. Times have one value a round, in seconds for a
    call. Counts are (function calls, statements). HTTP has one (requests a second, p50 in ms, p99
    in ms) a round."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    http: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    checks: dict[str, dict[str, bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """The time of one for what another does, as a multiple of the other's: the median of the
    rounds, and their tenth and ninetieth percentile. Both took a turn in each round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"**{self.median:.2f}** ({self.low:.2f} to {self.high:.2f})"


def ratio(times: Mapping[str, Sequence[float]], name: str, base: str) -> Ratio:
    rounds = [time / other for time, other in zip(times[name], times[base], strict=True)]
    deciles = statistics.quantiles(rounds, n=10)
    return Ratio(statistics.median(rounds), deciles[0], deciles[-1])


def describe(results: Mapping[str, Results], *, rows: int) -> str:
    """All tables, as Markdown."""
    return "\n\n".join(
        [
            f"Measured on {documents.today()}, with {rows:,} rows in the table of each (of DRF's"
            f" tokens one for each of the {rows // 10:,} users): {documents.machine()}."
            f" {documents.versions()}.",
            f"![Time and requests a second of all, as bars]({PICTURE})",
            "### A request",
            "Times are multiples of the time of Simple JWT's `JWTAuthentication` in the same round."
            " In brackets are the tenth and ninetieth percentile of the rounds. Calls are of Python"
            " functions, on SQLite.",
            table(_request_rows(results)),
            "### Over HTTP",
            table(_http_rows(results)),
            "### Sign-in and refresh",
            "Whole requests, with a password hash that costs next to nothing. Times are multiples"
            " of the time of Simple JWT with rotation and blacklist. Statements are on SQLite, and"
            " count BEGIN and COMMIT.",
            table(_flow_rows(results)),
            "### What a request's check knows",
            "Tried in the same run: is the access token refused at the next request?",
            table(_knowledge_rows(results)),
            "### Targets",
            table(_target_rows(results)),
            "",
        ]
    )


def write(text: str, results: Mapping[str, Results]) -> None:
    documents.write(SECTION, text)
    (documents.DOCS / PICTURE).write_text(picture(results))


def picture(results: Mapping[str, Results]) -> str:
    """The ratios of a request and the requests a second, as SVG."""
    panels = [
        chart.Panel(title, list(results), _bars(results, what), TITLES[US])
        for title, what in (
            ("authenticate(): time, Simple JWT = 1", "authenticate"),
            ("A whole request through Django: time, Simple JWT = 1", "request"),
        )
    ]
    rates = {
        title: [_over_http(found, name, 0) for found in results.values()]
        for name, title in TITLES.items()
        if all(found.http for found in results.values())
    }
    if rates:
        title = "Requests a second, gunicorn with 2 workers"
        panels.append(chart.Panel(title, list(results), rates, TITLES[US], digits=0))
    return chart.svg("Guestlist beside its peers", panels)


def _bars(results: Mapping[str, Results], what: str) -> dict[str, list[float]]:
    return {
        title: [ratio(found.times[what], name, SJ).median for found in results.values()]
        for name, title in TITLES.items()
    }


def _over_http(found: Results, name: str, figure: int) -> float:
    return statistics.median(each[figure] for each in found.http[name])


def _request_rows(results: Mapping[str, Results]) -> Iterator[Sequence[object]]:
    counts = results["SQLite"].counts["authenticate"]
    yield [
        "",
        "statements",
        "calls",
        *(f"`authenticate()`, {database}" for database in results),
        *(f"whole request, {database}" for database in results),
    ]
    for name, title in TITLES.items():
        calls, statements = counts[name]
        ratios = [
            ratio(found.times[what], name, SJ)
            for what in ("authenticate", "request")
            for found in results.values()
        ]
        yield [title, statements, calls, *ratios]
    yield [
        "Simple JWT, in ms",
        "",
        "",
        *(
            f"{statistics.median(found.times[what][SJ]) * 1000:.2f}"
            for what in ("authenticate", "request")
            for found in results.values()
        ),
    ]


def _http_rows(results: Mapping[str, Results]) -> Iterator[Sequence[object]]:
    yield [
        "",
        *(f"{database}: {what}" for database in results for what in HTTP_COLUMNS),
    ]
    for name, title in TITLES.items():
        cells: list[str] = []
        for found in results.values():
            if not found.http:
                cells += ["not measured: no wrk"] * len(HTTP_COLUMNS)
                continue
            rates = [rate for rate, _, _ in found.http[name]]
            cells += [
                f"**{statistics.median(rates):.0f}** ({min(rates):.0f} to {max(rates):.0f})",
                f"{_over_http(found, name, 1):.1f}",
                f"{_over_http(found, name, 2):.1f}",
                f"{found.memory[name]:.0f}",
            ]
        yield [title, *cells]


HTTP_COLUMNS = ("requests a second", "p50, ms", "p99, ms", "memory of a worker, MB")


def _flow_rows(results: Mapping[str, Results]) -> Iterator[Sequence[object]]:
    whats = ("login", "refresh")
    yield [
        "",
        *(f"{what}: statements" for what in whats),
        *(f"{what}, {database}" for what in whats for database in results),
    ]
    for name, title in TITLES.items():
        counts = [results["SQLite"].counts[what].get(name) for what in whats]
        ratios = [
            ratio(found.times[what], name, BLACKLIST) if name in found.times[what] else "-"
            for what in whats
            for found in results.values()
        ]
        if any(counts):
            yield [title, *(count[1] if count else "-" for count in counts), *ratios]


def _knowledge_rows(results: Mapping[str, Results]) -> Iterator[Sequence[object]]:
    events = list(results["SQLite"].checks[US])
    yield ["", *(f"ends {event}" for event in events), "list of devices"]
    for name, contender in CONTENDERS.items():
        found = [each.checks[name] for each in results.values()]
        answers = ["yes" if all(check[event] for check in found) else "no" for event in events]
        yield [contender.title, *answers, contender.device_list]


def _target_rows(results: Mapping[str, Results]) -> Iterator[Sequence[object]]:
    yield ["", "target", "measured", ""]
    for what, value, limit, is_floor in _targets(results):
        is_met = value >= limit if is_floor else value <= limit
        sign = "at least" if is_floor else "at most"
        shown = f"{limit:.0f}" if limit >= 10 else f"{limit:.2f}"
        measured = f"{value:.0f}" if limit >= 10 else f"{value:.3f}"
        yield [what, f"{sign} {shown}", measured, "met" if is_met else "**missed**"]


def _targets(results: Mapping[str, Results]) -> Iterator[tuple[str, float, float, bool]]:
    """What, the figure, its target, and whether the target is a floor."""
    limits = {"SQLite": 0.30, "PostgreSQL": 0.45}
    for database, found in results.items():
        times = found.times
        against_jwt = ratio(times["authenticate"], US, SJ).median
        yield f"`authenticate()` / Simple JWT, {database}", against_jwt, limits[database], False
    if "PostgreSQL" in results:
        times = results["PostgreSQL"].times
        against_knox = ratio(times["authenticate"], US, KNOX).median
        yield "`authenticate()` / knox, PostgreSQL", against_knox, 0.20, False
    yield "`authenticate()`, calls", results["SQLite"].counts["authenticate"][US][0], 200, False
    for base, limit in ((SJ, 0.60), (KNOX, 0.35)):
        for database, found in results.items():
            value = ratio(found.times["request"], US, base).median
            yield f"whole request / {TITLES[base]}, {database}", value, limit, False
    for database, found in results.items():
        if found.http:
            rates = [_over_http(found, name, 0) for name in (US, SJ)]
            slowest = [_over_http(found, name, 2) for name in (US, SJ)]
            yield f"requests a second / Simple JWT, {database}", rates[0] / rates[1], 1.40, True
            yield f"p99 / Simple JWT, {database}", slowest[0] / slowest[1], 1.00, False
    for what, limit in (("login", 1.00), ("refresh", 0.50)):
        for database, found in results.items():
            value = ratio(found.times[what], US, BLACKLIST).median
            yield f"{what} / Simple JWT with blacklist, {database}", value, limit, False
