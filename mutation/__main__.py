"""`make mutation`: change the code in small ways, one at a time, and see that a test fails.

mutmut does it in `.mutation/`, a copy. It leaves decorated functions alone, so in the copy each
`@decorator` is an assignment below its function. Nor does it change what stands outside of
functions: `by_hand.toml` lists such changes. `survivors.toml` says of each change that no test
notices why that is right.

A run goes on where the last one stopped, and tries again what survived without a reason or took
too long: on a busy machine a slow test looks like an endless one. For a whole new run delete
`.mutation/`. `python -m mutation report` only writes the page.
"""

import ast
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
COPY = ROOT / ".mutation"
REPORT = ROOT / "docs" / "mutation.md"
BY_HAND = COPY / "by_hand.json"  # results
PYTEST = ["-x", "-q", "-p", "no:randomly", "-p", "mutation.plugin", "-p", "no:cacheprovider"]
STATUSES = {
    None: "not run",
    0: "survived",
    1: "killed",
    3: "killed",
    33: "no tests",
    -24: "timeout",
}
SURVIVED = ("survived", "no tests")
HEAD = """# Mutation testing

Written by `make mutation`; what is edited here is overwritten. A mutant is the code with one \
small change: a comparison turned, a number one more, an argument None or left out. It is killed \
when a test fails or never ends, and survives when the tests pass.

"""


@dataclass(frozen=True)
class Mutant:
    file: str
    function: str  # "" outside of functions
    change: str  # "was → becomes"
    status: str
    key: str = ""  # mutmut's


def main() -> None:
    if "report" not in sys.argv:
        copy_sources()
        mutmut()
        again = [mutant.key for mutant in mutmut_mutants() if deserves_another_run(mutant)]
        if again:
            mutmut(*again)
        run_by_hand()
    REPORT.write_text(HEAD + report([*mutmut_mutants(), *hand_mutants()]), "utf-8")


def copy_sources() -> None:
    """Copy what is tracked. A file that did not change keeps its time, so that mutmut knows."""
    for database in COPY.rglob("test-*.sqlite3*"):
        database.unlink()
    mutated = {path for pattern in configuration()["only_mutate"] for path in ROOT.glob(pattern)}
    for name in git("ls-files").splitlines():
        source, target = ROOT / name, COPY / name
        content = source.read_bytes()
        if source in mutated:
            content = undecorated(content.decode()).encode()
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def undecorated(source: str) -> str:
    """The source with `f = decorator(f)` below each function in place of `@decorator` above it."""
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    nodes = [*tree.body, *(node for each in classes for node in each.body)]
    lines = source.splitlines()
    for node in sorted(nodes, key=lambda node: node.lineno, reverse=True):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            value = node.name
            for decorator in reversed(node.decorator_list):
                value = f"{ast.unparse(decorator)}({value})"
            lines.insert(node.end_lineno or 0, f"{' ' * node.col_offset}{node.name} = {value}")
            del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join(lines) + "\n"


def mutmut(*names: str) -> None:
    """Test these mutants, or all that were not tested yet."""
    command = Path(sys.executable).with_name("mutmut")
    # More at once than processors: what takes long mostly waits for a lock that never ends.
    subprocess.run([command, "run", "--max-children", "6", *names], cwd=COPY, check=True)


def mutmut_results() -> Iterator[tuple[str, str, str]]:
    """File, key and status of each mutant of mutmut's.

    Not by mutmut's own table of statuses: it takes an error of the worker for a timeout.
    """
    mutants = COPY / "mutants"
    for path in sorted(mutants.rglob("*.py.meta")):
        file = str(path.relative_to(mutants)).removesuffix(".meta")
        for key, exit_code in json.loads(path.read_text())["exit_code_by_key"].items():
            yield file, key, STATUSES.get(exit_code, "error")


def mutmut_mutants() -> Iterator[Mutant]:
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    with chdir(COPY):
        for file, key, status in mutmut_results():
            change = ""
            if status in SURVIVED:
                change = change_of(get_diff_for_mutant(key, path=file))
            names = orig_function_and_class_names_from_key(key)
            function = ".".join(name for name in reversed(names) if name)
            yield Mutant(file, function, change, status, key)


def deserves_another_run(mutant: Mutant) -> bool:
    if mutant.status in SURVIVED:
        return not reason(mutant)
    return mutant.status in ("timeout", "error")


def change_of(diff: str) -> str:
    was, becomes = (
        " ".join(line[1:].strip() for line in diff.splitlines()[2:] if line.startswith(sign))
        for sign in "-+"
    )
    return f"{was} → {becomes}"


def run_by_hand() -> None:
    """Make each change of by_hand.toml in turn and run its tests."""
    results = {}
    for file, entry in changes_by_hand().items():
        path = COPY / file
        source = path.read_text("utf-8")
        if not pytest(*entry["tests"]):
            raise SystemExit(f"by_hand.toml: the tests of {file} fail without any change")
        for was, becomes in entry["changes"]:
            key = f"{file}: {was} → {becomes}"
            if was not in source:
                raise SystemExit(f"by_hand.toml: not in {file}: {was}")
            try:
                path.write_text(source.replace(was, becomes, 1), "utf-8")
                passed = pytest(*entry["tests"])
            finally:
                path.write_text(source, "utf-8")
            results[key] = "survived" if passed else "killed"
            print(results[key], key)
            BY_HAND.write_text(json.dumps(results))


def pytest(*tests: str) -> bool:
    """Whether these tests pass in the copy."""
    command = [sys.executable, "-m", "pytest", *PYTEST, *tests]
    return not subprocess.run(command, cwd=COPY, capture_output=True, check=False).returncode


def hand_mutants() -> Iterator[Mutant]:
    results = json.loads(BY_HAND.read_text()) if BY_HAND.exists() else {}
    for file, entry in changes_by_hand().items():
        for was, becomes in entry["changes"]:
            status = results.get(f"{file}: {was} → {becomes}", "not run")
            yield Mutant(file, "", f"{was.strip()} → {becomes.strip()}", status)


def report(mutants: list[Mutant]) -> str:
    """The page: a row a file, then each mutant that was not killed, with the reason."""
    lines = [
        f"Run on {datetime.now(UTC):%Y-%m-%d} at {commit()} with mutmut {version('mutmut')} "
        f"and Python {platform.python_version()} on SQLite.\n",
        "| file | mutants | killed | timeout | survived, with a reason | without | not run |",
        "|---|---|---|---|---|---|---|",
    ]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    named: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        outcome = "not run" if mutant.status == "error" else mutant.status
        if outcome in SURVIVED:
            why = reason(mutant)
            named[why].append(mutant)
            outcome = "named" if why else "survived"
        for file in (mutant.file, "all"):
            counts[file][outcome] += 1
    for file in sorted(counts, key=lambda file: (file == "all", file)):
        count = counts[file]
        outcomes = ("killed", "timeout", "named", "survived", "not run")
        cells = [file, count.total(), *(count[name] for name in outcomes)]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    if counts["all"]["not run"]:
        lines.append(
            "\nThe run is not finished: of the mutants in the last column nothing is known. "
            "`make mutation` goes on with them."
        )
    for why in sorted(named, key=lambda why: (why != "", -len(named[why]))):
        lines.append(f"\n{why or 'Without a reason:'}\n")
        for mutant in named[why]:
            where = f"{mutant.file}, {mutant.function}" if mutant.function else mutant.file
            lines.append(f"- {where}: `{mutant.change}`")
    return "\n".join(lines) + "\n"


def reason(mutant: Mutant) -> str:
    """What survivors.toml says of it; "" for nothing."""
    for entry in survivors():
        for pattern in entry["mutants"]:
            whole = re.escape(pattern).replace(r"\*", ".*")
            if re.fullmatch(whole, f"{mutant.file} {mutant.function}: {mutant.change}"):
                return entry["reason"]
    return ""


@cache
def survivors() -> list[dict[str, Any]]:
    return tomllib.loads((HERE / "survivors.toml").read_text("utf-8"))["survivors"]


def changes_by_hand() -> dict[str, dict[str, Any]]:
    return tomllib.loads((HERE / "by_hand.toml").read_text("utf-8"))


def configuration() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]


def commit() -> str:
    """Short, with a "+" for changes that are not committed."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/mutation.md")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    main()
