"""Guestlist next to its peers: the same work on the same data, taking turns, in one run.

`make bench` runs it on SQLite, and on the PostgreSQL server of DATABASE_URL. It writes the tables
and the picture of docs/performance.md, and the sentence of README.md. DATABASES=PostgreSQL measures
that one alone, and describes the other by what it left in .bench. DATABASES=none measures nothing.
ROWS=10000 is a quick try with a fifth of the rounds, and writes no document.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from tqdm import tqdm

from benchmarks import over_http, places, report, results
from benchmarks.contenders import CONTENDERS, STOCK
from benchmarks.environment import configure
from benchmarks.results import Results
from benchmarks.worker import Worker

DEVICES_EACH = 10
SAMPLE = 100  # users whose requests are measured
MILLION = 1_000_000
ROUNDS = {"authenticate": 30, "request": 20}  # and of everything else OTHERWISE
OTHERWISE = 15
HTTP_ROUNDS, STOCK_HTTP_ROUNDS = 6, 2
US, SJ, BLACKLIST = report.US, report.SJ, report.BLACKLIST
PEERS = [name for name in CONTENDERS if name != US]
STOCK_PEERS = [name + STOCK for name in PEERS]
REFRESHING = [name for name, contender in CONTENDERS.items() if contender.refreshes]
# Who takes part in what. The stateless one logs in as Simple JWT does.
TAKING_PART = {
    "authenticate": list(CONTENDERS),
    "request": [*CONTENDERS, *STOCK_PEERS],
    "me": [SJ, BLACKLIST, US],
    "devices": [US],
    "login": [name for name in [*CONTENDERS, *STOCK_PEERS] if not name.startswith("stateless")],
    "login_among_strangers": [BLACKLIST, US],
    "wrong_password": [BLACKLIST, US],
    "refresh": [*REFRESHING, *(name + STOCK for name in REFRESHING if name != US)],
    "login_at_the_limit": [BLACKLIST, US],
}


def measure(url: str, rows: int) -> Results:
    """Fill the empty database of `url` with `rows` devices and tokens of each peer, and measure."""
    found = Results(rows)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, url)) for name in CONTENDERS}
        *usernames, guinea_pig = _fill(workers, rows)
        urls = dict.fromkeys(workers, url) | dict.fromkeys(STOCK_PEERS, places.for_stock(url))
        for name in STOCK_PEERS:
            workers[name] = stack.enter_context(Worker(name, urls[name]))
        for worker in tqdm(workers.values(), desc="signing in"):
            worker.ask("sign_in", usernames)
        for name in CONTENDERS:
            found.checks[name] = workers[name].ask("check", guinea_pig)
        for what, names in TAKING_PART.items():
            taking_part = {name: workers[name] for name in names}
            found.counts[what] = {
                name: worker.ask("count", what)
                for name, worker in taking_part.items()
                if not name.endswith(STOCK)
            }
            rounds = ROUNDS.get(what, OTHERWISE) // (1 if rows == MILLION else 5)
            found.times[what] = _take_turns(what, taking_part, rounds)
        if over_http.is_possible():
            _measure_over_http(urls, workers, found)
    return found


def _fill(workers: dict[str, Worker], rows: int) -> list[str]:
    guestlist = workers[US]
    for worker in tqdm(workers.values(), desc="tables"):
        worker.ask("migrate")
    guestlist.ask("fill", rows // DEVICES_EACH, rows)
    for worker in tqdm(workers.values(), desc="rows"):
        worker.ask("fill_peer", DEVICES_EACH)
    guestlist.ask("settle")
    return guestlist.ask("choose", SAMPLE + 1)


def _take_turns(what: str, workers: dict[str, Worker], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in workers}
    for _ in tqdm(range(rounds), desc=what):
        for name, worker in workers.items():
            times[name].append(worker.ask("time", what))
    return times


def _measure_over_http(urls: dict[str, str], workers: dict[str, Worker], found: Results) -> None:
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(over_http.Server(name, urls[name], worker.ask("headers")))
            for name, worker in workers.items()
        }
        for server in servers.values():
            server.load(seconds=1)
        found.http = {name: [] for name in servers}
        for number in tqdm(range(HTTP_ROUNDS), desc="over HTTP"):
            for name, server in servers.items():
                if number < STOCK_HTTP_ROUNDS or not name.endswith(STOCK):
                    found.http[name].append(server.load())
        found.memory = {name: server.memory() for name, server in servers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Guestlist next to its peers.")
    parser.add_argument("--rows", type=int, default=MILLION, help="devices, and each peer's")
    parser.add_argument("--databases", nargs="*", default=["SQLite", "PostgreSQL"], metavar="NAME")
    parser.add_argument("--write", action="store_true", help="into the documents")
    options = parser.parse_args()
    where: dict[str, Callable[[], AbstractContextManager[str]]] = {"SQLite": places.sqlite}
    if server := places.server():
        where["PostgreSQL"] = partial(places.postgresql, server)
    configure("benchmarks.settings")
    for database, place in where.items():
        if database in options.databases:
            start = time.monotonic()
            with place() as url:
                results.keep(database, measure(url, options.rows))
            print(f"{database}: {(time.monotonic() - start) / 60:.1f} minutes")
    found = results.kept(["SQLite", "PostgreSQL"], options.rows)
    if not found:
        sys.exit("Nothing has been measured with so many rows.")
    text = report.describe(found)
    print(text)
    if options.write:
        report.write(text, found)


if __name__ == "__main__":
    main()
