"""What Guestlist costs as its table grows.

python -m benchmarks.scale postgres://.../guestlist_10k postgres://.../guestlist_1m ... --write

`benchmarks.fill` filled each database. Name those of one kind from small to large. They take
turns, so that a busy moment of the machine meets all of them. At the end the devices that signed
in for it are deleted. `--write` puts the tables into docs/performance.md.
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from benchmarks import documents
from benchmarks.documents import table
from benchmarks.environment import configure
from benchmarks.results import ratio
from benchmarks.worker import Worker

SECTION = "scale"
SAMPLE = 100  # users whose requests are measured
ROUNDS = {"authenticate": 40, "request": 30, "login": 15, "refresh": 20, "devices": 20}
TITLES = {
    "authenticate": "`authenticate()`",
    "request": "whole request",
    "login": "login, beyond the hash",
    "refresh": "refresh",
    "devices": "list of one's devices",
}


@dataclass
class Results:
    """Of one kind of database, by its number of devices. Times have one value a round, in seconds
    for a call. Sizes are the bytes of table and indexes, by name."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def measure(urls: list[str]) -> dict[str, Results]:
    """By the display name of the database."""
    results: dict[str, Results] = {}
    workers: dict[tuple[str, str], Worker] = {}
    with ExitStack() as stack:
        for url in urls:
            worker = stack.enter_context(Worker("guestlist", url))
            stack.callback(worker.ask, "forget")
            database, rows, sizes = worker.ask("describe")
            found = results.setdefault(database, Results())
            found.rows[f"{rows:,}"], found.sizes[f"{rows:,}"] = rows, sizes
            workers[database, f"{rows:,}"] = worker
            worker.ask("sign_in", worker.ask("choose", SAMPLE))
        for what, rounds in ROUNDS.items():
            for _ in tqdm(range(rounds), desc=what):
                for (database, rows), worker in workers.items():
                    times = results[database].times.setdefault(what, {})
                    times.setdefault(rows, []).append(worker.ask("time", what))
    return results


def describe(results: dict[str, Results]) -> str:
    parts = [
        f"Measured on {documents.today()}: {documents.machine()}. Milliseconds, as the median of"
        " the rounds. The last column divides the time at the largest table by the time at the"
        " smallest. It has the median of the rounds, and their tenth and ninetieth percentile.",
    ]
    for database, found in results.items():
        parts += [f"#### {database}", table(_time_rows(found))]
    parts += ["#### Bytes a device", table(_size_rows(results)), ""]
    return "\n\n".join(parts)


def _time_rows(found: Results) -> Iterator[Sequence[object]]:
    smallest, *_, largest = found.rows
    yield ["", *(f"{rows} devices" for rows in found.rows), "largest / smallest"]
    for what, times in found.times.items():
        medians = [f"{statistics.median(times[rows]) * 1000:.2f}" for rows in found.rows]
        yield [TITLES[what], *medians, ratio(times, largest, smallest)]


def _size_rows(results: dict[str, Results]) -> Iterator[Sequence[object]]:
    """Of the largest database of each kind."""
    yield ["", *(f"{database}, {[*found.rows][-1]} devices" for database, found in results.items())]
    largest = [found.sizes[[*found.rows][-1]] for found in results.values()]
    counts = [[*found.rows.values()][-1] for found in results.values()]
    for name in dict.fromkeys(name for sizes in largest for name in sizes):
        yield [
            name,
            *(_each(sizes.get(name), count) for sizes, count in zip(largest, counts, strict=True)),
        ]


def _each(size: int | None, count: int) -> str:
    return "" if size is None else f"{size / count:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Guestlist on filled databases.")
    parser.add_argument("databases", nargs="+", metavar="URL")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options: Any = parser.parse_args()
    configure("benchmarks.settings")
    text = describe(measure(options.databases))
    print(text)
    if options.write:
        documents.write(SECTION, text)


if __name__ == "__main__":
    main()
