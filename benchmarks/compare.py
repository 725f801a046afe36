"""Guestlist next to its peers: the same work on the same data, taking turns, in one run.

`make bench` runs it on SQLite, and on the PostgreSQL server of DATABASE_URL. It writes the tables
and the picture of docs/performance.md. `make bench ROWS=10000` is a quick try and writes nothing.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial

from tqdm import tqdm

from benchmarks import over_http, places, report
from benchmarks.contenders import CONTENDERS
from benchmarks.environment import configure
from benchmarks.report import Results
from benchmarks.worker import Worker

DEVICES_EACH = 10
SAMPLE = 100  # users whose requests are measured
ROUNDS = {"authenticate": 40, "request": 30, "login": 15, "refresh": 15}
HTTP_ROUNDS = 7
REFRESHING = [name for name, contender in CONTENDERS.items() if contender.refreshes]


def measure(url: str, rows: int) -> Results:
    """Fill the empty database of `url` with `rows` devices and tokens of each peer, and measure."""
    results = Results()
    workers: dict[str, Worker] = {}
    with ExitStack() as stack:
        for name in CONTENDERS:
            workers[name] = Worker(name, url)
            stack.callback(workers[name].close)
        usernames = _fill(workers, rows)
        *usernames, guinea_pig = usernames
        for name, worker in workers.items():
            worker.ask("sign_in", usernames)
            results.checks[name] = worker.ask("check", guinea_pig)
        for what, rounds in ROUNDS.items():
            taking_part = {name: workers[name] for name in _names(what)}
            results.counts[what] = {n: w.ask("count", what) for n, w in taking_part.items()}
            results.times[what] = _take_turns(what, taking_part, rounds)
        if over_http.is_possible():
            _measure_over_http(url, workers, results)
    return results


def _names(what: str) -> list[str]:
    """The contenders that take part. The stateless one logs in as Simple JWT does."""
    if what == "refresh":
        return REFRESHING
    return [name for name in CONTENDERS if what != "login" or name != "stateless"]


def _fill(workers: dict[str, Worker], rows: int) -> list[str]:
    guestlist = workers["guestlist"]
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


def _measure_over_http(url: str, workers: dict[str, Worker], results: Results) -> None:
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(over_http.Server(name, url, worker.ask("headers")))
            for name, worker in workers.items()
        }
        for server in servers.values():
            server.load()
        results.http = {name: [] for name in servers}
        for _ in tqdm(range(HTTP_ROUNDS), desc="over HTTP"):
            for name, server in servers.items():
                results.http[name].append(server.load())
        results.memory = {name: server.memory() for name, server in servers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Guestlist next to its peers.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="devices, and each peer's")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    databases: dict[str, Callable[[], AbstractContextManager[str]]] = {"SQLite": places.sqlite}
    if server := places.server():
        databases["PostgreSQL"] = partial(places.postgresql, server)
    configure("benchmarks.settings")
    results = {}
    for database, place in databases.items():
        with place() as url:
            results[database] = measure(url, options.rows)
    text = report.describe(results, rows=options.rows)
    print(text)
    if options.write:
        report.write(text, results)


if __name__ == "__main__":
    main()
