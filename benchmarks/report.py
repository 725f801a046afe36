"""The results of `compare` as tables, next to their targets, as a sentence, and as a picture."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks import chart, documents, targets
from benchmarks.contenders import CONTENDERS, STOCK
from benchmarks.documents import table
from benchmarks.results import Results, ratio

SECTION, PICTURE = "benchmark", "performance.svg"
TITLES = {name: contender.title for name, contender in CONTENDERS.items()}
US, SJ, BLACKLIST = targets.US, targets.SJ, targets.BLACKLIST
# What people have, with the measure and whom it is compared with.
ACTS = {
    "any request": ("request", BLACKLIST),
    "`/me`": ("me", BLACKLIST),
    "a list of one's devices": ("devices", None),
    "signing in": ("login", BLACKLIST),
    "... while others fail from the same network": ("login_among_strangers", BLACKLIST),
    "... at the limit of devices": ("login_at_the_limit", BLACKLIST),
    "a wrong password": ("wrong_password", BLACKLIST),
    "a refresh": ("refresh", BLACKLIST),
}
HTTP_COLUMNS = ("requests a second", "p50, ms", "p99, ms", "memory of a worker, MB")
Found = Mapping[str, Results]


def describe(found: Found) -> str:
    """All tables, as Markdown."""
    return "\n\n".join(
        [
            *(f"{database} was measured {results.about}" for database, results in found.items()),
            f"Each table has {_first(found).rows:,} rows, and those of the users have a"
            " tenth. (DRF has one token for each user.) Times are multiples of a peer's time in the"
            " same round: the median of the rounds, and in brackets their tenth and ninetieth"
            " percentile.",
            f"![Times and requests a second of all, as bars]({PICTURE})",
            "### A request",
            "The time of Simple JWT's `JWTAuthentication` is 1. Calls are of Python functions, on"
            " SQLite.",
            table(_request_rows(found)),
            "### Over HTTP",
            table(_http_rows(found)),
            "### Signing in and refreshing",
            "Whole requests, with a password hash that costs next to nothing. The time of Simple"
            " JWT with rotation and blacklist is 1. Statements are on SQLite, with BEGIN and"
            " COMMIT.",
            table(_flow_rows(found)),
            "### What people do",
            "Guestlist / Simple JWT with blacklist, which has no limits, and no list of devices."
            " Its `/me` is a view with a serializer, as REST framework's tutorial has it. Waits are"
            " for the disk. A trip is a message to PostgreSQL.",
            table(_act_rows(found)),
            "### What a request's check knows",
            "Tried in the same run: is the access token refused at the next request?",
            table(_knowledge_rows(found)),
            "### Goals",
            table(_goal_rows(found)),
            *_reasons(found),
            "",
        ]
    )


def write(text: str, found: Found) -> None:
    documents.write(SECTION, text)
    documents.write(SECTION, _sentence(found), documents.ROOT / "README.md")
    (documents.DOCS / PICTURE).write_text(picture(found))


def picture(found: Found) -> str:
    """The ratios of a request and of a sign-in, and the requests a second, as SVG."""
    panels = [
        chart.Panel(title, list(found), _bars(found, what, base), TITLES[US])
        for title, what, base in (
            ("authenticate(): time, Simple JWT = 1", "authenticate", SJ),
            ("A whole request through Django: time, Simple JWT = 1", "request", SJ),
            ("A sign-in without its hash: time, Simple JWT with blacklist = 1", "login", BLACKLIST),
        )
    ]
    if all(results.http for results in found.values()):
        rates = {
            title: [results.over_http(name, 0) for results in found.values()]
            for name, title in TITLES.items()
        }
        title = "Requests a second, gunicorn with 2 workers"
        panels.append(chart.Panel(title, list(found), rates, TITLES[US], digits=0))
    return chart.svg("Guestlist next to its peers", panels)


def _bars(found: Found, what: str, base: str) -> dict[str, list[float]]:
    return {
        title: [ratio(results.times[what], name, base).median for results in found.values()]
        for name, title in TITLES.items()
        if all(name in results.times[what] for results in found.values())
    }


def _sentence(found: Found) -> str:
    """What README.md says in its list, dear and cheap alike."""

    def of(what: str, base: str) -> str:
        medians = [ratio(results.times[what], US, base).median for results in found.values()]
        return " and ".join(f"{median:.2f}" for median in medians)

    return (
        f"- **What it costs**, in times of Simple JWT's, on {' and '.join(found)}: checking a token"
        f" {of('authenticate', SJ)}, a whole request {of('request', SJ)}. Next to Simple JWT with"
        f" rotation and blacklist: a refresh {of('refresh', BLACKLIST)}, a sign-in without its hash"
        f" {of('login', BLACKLIST)}, a wrong password {of('wrong_password', BLACKLIST)}, and a"
        f" sign-in that ends the device over the limit {of('login_at_the_limit', BLACKLIST)}. Ten"
        " million devices cost the same as ten thousand. [Measured](docs/performance.md) next to"
        " eight alternatives in one run.\n  "
    )


def _request_rows(found: Found) -> Iterator[Sequence[object]]:
    whats = ("authenticate", "request")
    yield [
        "",
        "statements",
        "calls",
        *(f"`authenticate()`, {database}" for database in found),
        *(f"whole request, {database}" for database in found),
    ]
    for name, title in TITLES.items():
        counts = _first(found).counts["authenticate"][name]
        ratios = [_cell(results, what, name, SJ) for what in whats for results in found.values()]
        yield [title, counts.statements, counts.calls, *ratios]


def _flow_rows(found: Found) -> Iterator[Sequence[object]]:
    whats = ("login", "refresh")
    yield [
        "",
        *(f"{what}: statements" for what in whats),
        *(f"{what}, {database}" for what in whats for database in found),
    ]
    for name, title in TITLES.items():
        counts = [_first(found).counts[what].get(name) for what in whats]
        ratios = [
            _cell(results, what, name, BLACKLIST) for what in whats for results in found.values()
        ]
        yield [title, *(count.statements if count else "-" for count in counts), *ratios]


def _cell(results: Results, what: str, name: str, base: str) -> str:
    """The ratio, with the one on stock settings next to it."""
    times, stock = results.times[what], name + STOCK
    if name not in times:
        return "-"
    next_to_it = f"; stock {ratio(times, stock, base).median:.2f}" if stock in times else ""
    return f"{ratio(times, name, base)}{next_to_it}"


def _http_rows(found: Found) -> Iterator[Sequence[object]]:
    yield ["", *(f"{database}: {what}" for database in found for what in HTTP_COLUMNS)]
    for name, title in TITLES.items():
        cells: list[str] = []
        for results in found.values():
            if not results.http:
                cells += ["not measured: no wrk"] * len(HTTP_COLUMNS)
                continue
            rates = [rate for rate, _, _ in results.http[name]]
            stock = name + STOCK
            next_to_it = f"; stock {results.over_http(stock, 0):.0f}" if name != US else ""
            cells += [
                f"**{results.over_http(name, 0):.0f}** ({min(rates):.0f} to {max(rates):.0f})"
                f"{next_to_it}",
                f"{results.over_http(name, 1):.1f}",
                f"{results.over_http(name, 2):.1f}",
                f"{results.memory[name]:.0f}",
            ]
        yield [title, *cells]


def _act_rows(found: Found) -> Iterator[Sequence[object]]:
    yield [
        "",
        "statements",
        *(f"calls, {database}" for database in found),
        *(f"waits, {database}" for database in found),
        *(f"trips, {database}" for database in found if database != "SQLite"),
        *(f"time, {database}" for database in found),
        *(f"ms, {database}" for database in found),
    ]
    for title, (what, base) in ACTS.items():
        yield [
            title,
            _pair(_first(found), what, base, "statements"),
            *(_pair(results, what, base, "calls") for results in found.values()),
            *(_pair(results, what, base, "waits") for results in found.values()),
            *(
                _pair(results, what, base, "trips")
                for database, results in found.items()
                if database != "SQLite"
            ),
            *(_cell(results, what, US, base) if base else "" for results in found.values()),
            *(f"{targets.milliseconds(results, what):.2f}" for results in found.values()),
        ]


def _pair(results: Results, what: str, base: str | None, figure: str) -> str:
    names = [US, base] if base else [US]
    counts = [getattr(results.counts[what][name], figure) for name in names]
    return " / ".join("?" if count is None else f"{count:,}" for count in counts)


def _knowledge_rows(found: Found) -> Iterator[Sequence[object]]:
    events = list(_first(found).checks[US])
    yield ["", *(f"ends {event}" for event in events), "list of devices"]
    for name, contender in CONTENDERS.items():
        checks = [results.checks[name] for results in found.values()]
        answers = ["yes" if all(check[event] for check in checks) else "no" for event in events]
        yield [contender.title, *answers, contender.device_list]


def _goal_rows(found: Found) -> Iterator[Sequence[object]]:
    yield ["", "goal", "measured", ""]
    for goal in targets.goals(found):
        yield [goal.what, goal.wanted, goal.measured, "met" if goal.is_met else "**missed**"]


def _reasons(found: Found) -> Iterator[str]:
    """Why goals were missed, each reason once."""
    missed = [goal.why for goal in targets.goals(found) if goal.why and not goal.is_met]
    yield "\n".join(f"- {why}" for why in dict.fromkeys(missed))


def _first(found: Found) -> Results:
    return next(iter(found.values()))
