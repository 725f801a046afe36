"""The rows of ASVS 5.0 in asvs.toml, the tests that prove them, and the table of a run's results.

A pytest plugin, loaded by the root conftest. `@pytest.mark.asvs("7.4.1")` marks a test that proves
the row 7.4.1; a row that no test proves says why not. `--asvs-report asvs.md` writes each row with
its answer, its tests and how they went in this run.
"""

import platform
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parents[2] / "docs"
ROWS: dict[str, dict[str, Any]] = tomllib.loads(HERE.joinpath("asvs.toml").read_text("utf-8"))
CHAPTERS = {
    "2": "V2 Validation and business logic",
    "3": "V3 Web frontend",
    "4": "V4 API and web service",
    "6": "V6 Authentication",
    "7": "V7 Session management",
    "8": "V8 Authorization",
    "9": "V9 Self-contained tokens",
    "10": "V10 OAuth and OIDC",
    "11": "V11 Cryptography",
    "13": "V13 Configuration",
    "14": "V14 Data protection",
    "15": "V15 Secure coding",
    "16": "V16 Logging and error handling",
}
HEAD = """# ASVS 5.0, row by row

Written by `make asvs` out of `asvs.toml` and its own run; what is edited here is overwritten. \
A row is proved by the tests that carry its id (`@pytest.mark.asvs`); a row without a test says \
why. The deviations, with their reasons, are listed in [security.md](security.md#deviations).

"""


def pytest_addoption(parser):
    parser.addoption(
        "--asvs-report", metavar="FILE", type=Path, help="write the table of ASVS rows and results"
    )


def pytest_configure(config):
    config.pluginmanager.register(Proofs(config.getoption("asvs_report")))


class Proofs:
    """Which tests prove which row, and how each case of them went."""

    def __init__(self, report: Path | None) -> None:
        self.report = report
        self.cases: dict[str, list[str]] = {id: [] for id in ROWS}
        self.outcomes: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)  # before `-m` and `-k` take tests away
    def pytest_collection_modifyitems(self, config, items):
        for item in items:
            for id in proved_by(item):
                if id not in ROWS:
                    raise pytest.UsageError(f"{item.nodeid}: asvs.toml has no row {id!r}")
                self.cases[id].append(item.nodeid)
        if config.args_source is config.ArgsSource.TESTPATHS:
            bare = [id for id, row in ROWS.items() if not self.cases[id] and "reason" not in row]
            if bare:
                raise pytest.UsageError(f"neither a test nor a reason: ASVS {', '.join(bare)}")

    def pytest_runtest_logreport(self, report):
        """The worst of setup, call and teardown counts."""
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped or report.when == "call":
            self.outcomes.setdefault(report.nodeid, report.outcome)

    def pytest_sessionfinish(self, session):
        if self.report:
            self.report.write_text(HEAD + self.table(), "utf-8")

    def table(self) -> str:
        lines = [self.summary()]
        chapter = None
        for id in sorted(ROWS, key=lambda id: [int(part) for part in id.split(".")]):
            if chapter != id.split(".")[0]:
                chapter = id.split(".")[0]
                lines += [f"\n## {CHAPTERS[chapter]}\n"]
                lines += ["| id | level | requirement | answer | tests (cases) | result |"]
                lines += ["|---|---|---|---|---|---|"]
            row = ROWS[id]
            cells = [id, row["level"], row["requirement"], row["answer"], *self.proof(id)]
            lines += ["| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """When, on what, and how the rows stand, in two sentences."""
        from django.db import connection

        proved = [id for id in ROWS if self.cases[id]]
        went = Counter(self.outcome(case) for case in {c for id in proved for c in self.cases[id]})
        return (
            f"Run on {datetime.now(UTC):%Y-%m-%d} at commit {commit()}, with "
            f"Python {platform.python_version()} on {connection.display_name}. "
            f"{len(ROWS)} rows: {len(proved)} proved by tests ({counts(went)} cases), "
            f"{len(ROWS) - len(proved)} without a test for the reason given."
        )

    def proof(self, id: str) -> tuple[str, str]:
        """The cells "tests" and "result" of a row."""
        tests: dict[str, Counter[str]] = {}
        for case in self.cases[id]:
            tests.setdefault(case.partition("[")[0], Counter())[self.outcome(case)] += 1
        listed = [f"{link(test)} ({went.total()})" for test, went in sorted(tests.items())]
        if reason := ROWS[id].get("reason"):
            listed.append(reason)
        return "<br>".join(listed), counts(sum(tests.values(), Counter())) or "no test"

    def outcome(self, case: str) -> str:
        return self.outcomes.get(case, "not run")


def proved_by(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("asvs"):
        yield from mark.args


def counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))


def link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{Path(path).name}::{name}](../{path})"


def commit() -> str:
    """The commit of the run, with a plus when files differ from it."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=HERE, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "..", ":!asvs.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")
