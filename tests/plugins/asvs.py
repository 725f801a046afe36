"""The rows of ASVS 5.0 in docs/asvs.toml, and the tests that prove them.

A pytest plugin, loaded by the root conftest. `@pytest.mark.asvs("7.4.1")` marks a test that proves
row 7.4.1. A row without a test says why in `reason`. `--asvs-page FILE` writes the rows with their
tests; they are known once the tests are collected. Without docs/asvs.toml the plugin does nothing.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "docs" / "asvs.toml"
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

Which requirements of OWASP ASVS 5.0 concern Guestlist, how does it meet each, and which test \
proves it?

A test that proves a row carries its id (`@pytest.mark.asvs`). A row without a test gives the \
reason. Deviations are explained in [security.md](security.md#deviations). `make asvs` writes this \
page from `asvs.toml` and the tests: edit those."""
TABLE = """| id | level | requirement | answer | tests | reason |
|---|---|---|---|---|---|"""


@cache
def rows() -> dict[str, dict[str, Any]]:
    """The rows by id."""
    return tomllib.loads(FILE.read_text("utf-8"))


def pytest_addoption(parser):
    parser.addoption(
        "--asvs-page", metavar="FILE", type=Path, help="write the rows of ASVS and their tests"
    )


@pytest.hookimpl(tryfirst=True)  # before `-m` and `-k` take tests away
def pytest_collection_modifyitems(config, items):
    if not FILE.exists():
        return
    tests = tests_by_row(items)
    if config.args == config.getini("testpaths"):
        bare = [id for id, row in rows().items() if not tests[id] and "reason" not in row]
        if bare:
            raise pytest.UsageError(f"neither a test nor a reason: ASVS {', '.join(bare)}")
    if path := config.getoption("asvs_page"):
        path.write_text(page(tests), "utf-8")


def tests_by_row(items: Iterable[pytest.Item]) -> dict[str, set[str]]:
    """The tests that prove each row, as "path::name"."""
    tests: dict[str, set[str]] = {id: set() for id in rows()}
    for item in items:
        for mark in item.iter_markers("asvs"):
            for id in mark.args:
                if id not in tests:
                    raise pytest.UsageError(f"{item.nodeid}: asvs.toml has no row {id!r}")
                tests[id].add(item.nodeid.partition("[")[0])
    return tests


def page(tests: Mapping[str, set[str]]) -> str:
    """docs/asvs.md: a table a chapter."""
    ids = sorted(rows(), key=lambda id: [int(part) for part in id.split(".")])
    parts = [HEAD]
    for chapter, of_chapter in groupby(ids, key=lambda id: id.partition(".")[0]):
        parts.append(f"## {CHAPTERS[chapter]}")
        parts.append("\n".join([TABLE, *(line(id, tests[id]) for id in of_chapter)]))
    return "\n\n".join(parts) + "\n"


def line(id: str, tests: set[str]) -> str:
    row = rows()[id]
    links = "<br>".join(link(test) for test in sorted(tests))
    cells = [id, row["level"], row["requirement"], row["answer"], links, row.get("reason", "")]
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{Path(path).name}::{name}](../{path})"
