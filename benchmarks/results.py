"""What was measured in one database, kept in a file until the next run of the same kind."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import documents
from benchmarks.observing import Counts

KEPT = documents.ROOT / ".bench"


@dataclass
class Results:
    """By measure and contender. Times have one value a round, in seconds for a call. HTTP has one
    (requests a second, p50 in ms, p99 in ms) a round. Memory is that of a worker, in MB."""

    rows: int
    about: str = field(default_factory=documents.setting)
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: dict[str, dict[str, Counts]] = field(default_factory=dict)
    http: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    checks: dict[str, dict[str, bool]] = field(default_factory=dict)

    def over_http(self, name: str, figure: int) -> float:
        return statistics.median(each[figure] for each in self.http[name])


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


def keep(database: str, results: Results) -> None:
    KEPT.mkdir(exist_ok=True)
    _file(database, results.rows).write_text(json.dumps(asdict(results)))


def kept(databases: Sequence[str], rows: int) -> dict[str, Results]:
    """What the last runs with so many rows have left, by database."""
    files = {database: _file(database, rows) for database in databases}
    return {database: _read(file) for database, file in files.items() if file.exists()}


def _file(database: str, rows: int) -> Path:
    return KEPT / f"{database}-{rows}.json"


def _read(file: Path) -> Results:
    results = Results(**json.loads(file.read_text()))
    for by_name in results.counts.values():
        for name, counts in by_name.items():
            by_name[name] = Counts(*counts)
    return results
