"""The marker of ASVS rows: what it refuses, and what the table says of a run."""

import os
import subprocess
import sys

import pytest

from tests.site.test_imports import ROOT

RUN = """
import pytest

@pytest.mark.asvs("7.4.1", "9.1.1")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_two_of_three(n):
    assert n != 2

@pytest.mark.asvs("7.4.1")
def test_skipped():
    pytest.skip()

@pytest.mark.asvs("7.4.2")
def test_broken_at_the_end(broken):
    pass

@pytest.fixture
def broken():
    yield
    raise RuntimeError

@pytest.mark.asvs("6.3.8")
def test_fine():
    pass
"""


@pytest.fixture
def run(tmp_path):
    """`run(text, *args)` runs pytest, with the plugin, on a folder that holds these tests."""

    def run(text, *args):
        (tmp_path / "test_rows.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = .\nmarkers = asvs\n")
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "tests.plugins.asvs",
                "-p",
                "no:randomly",
                *args,
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_mark_with_an_unknown_row_stops_the_run(run):
    done = run(RUN.replace("9.1.1", "9.9.9"), "test_rows.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_two_of_three[1]: asvs.toml has no row '9.9.9'" in done.stderr


def test_row_that_nothing_proves_stops_a_run_of_everything(run):
    done = run(RUN, "-k", "fine")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "neither a test nor a reason: ASVS 2.3.3, 3.3.1," in done.stderr
    assert "7.4.1" not in done.stderr
    assert " 6.5," not in done.stderr  # not applicable, and says so
    assert run(RUN, "test_rows.py", "-k", "fine").returncode == pytest.ExitCode.OK


def test_table_says_how_each_row_went(run, tmp_path):
    run(RUN, "test_rows.py", "--asvs-report", "asvs.md", "--deselect", "test_rows.py::test_fine")

    rows = {}
    for line in (tmp_path / "asvs.md").read_text().splitlines():
        if line.startswith("| "):
            id, *_, tests, result = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[id] = (tests, result)
    two = "[test_rows.py::test_two_of_three](../test_rows.py) (3)"
    skipped = "[test_rows.py::test_skipped](../test_rows.py) (1)"
    assert rows["7.4.1"] == (f"{skipped}<br>{two}", "1 failed, 2 passed, 1 skipped")
    assert rows["9.1.1"] == (two, "1 failed, 2 passed")
    assert rows["7.4.2"][1] == "1 failed"
    assert rows["6.3.8"][0].endswith("<br>Deviation: signing up says that a name is taken")
    assert rows["6.3.8"][1] == "1 not run"
    assert rows["6.5"][1] == "no test"
