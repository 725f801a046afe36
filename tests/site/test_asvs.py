"""The marker of ASVS rows: what it refuses, and the page that is written from it."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.plugins import asvs
from tests.site.test_imports import ROOT

TESTS = """
import pytest

@pytest.mark.asvs("7.4.1", "9.1.1")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_three(n):
    pass

@pytest.mark.asvs("7.4.1")
def test_that_fails():
    assert False

@pytest.mark.asvs("6.3.8")
def test_that_passes():
    pass
"""


@pytest.fixture
def run(tmp_path):
    """`run(text, *args)` runs pytest, with the plugin, on a folder that holds these tests."""

    def run(text, *args, plugin="tests.plugins.asvs"):
        (tmp_path / "test_rows.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = .\nmarkers = asvs\n")
        return pytest_in(tmp_path, "-p", plugin, *args, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")

    return run


def pytest_in(folder, *args, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pytest", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_mark_with_an_unknown_row_stops_the_run(run):
    done = run(TESTS.replace("9.1.1", "9.9.9"), "test_rows.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_of_three[1]: asvs.toml has no row '9.9.9'" in done.stderr


def test_row_that_nothing_proves_stops_a_run_of_everything(run):
    done = run(TESTS, "-k", "passes")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "neither a test nor a reason: ASVS 2.3.3, 3.3.1," in done.stderr
    assert "7.4.1" not in done.stderr
    assert " 6.6," not in done.stderr  # not applicable, and says so
    assert run(TESTS, "test_rows.py", "-k", "passes").returncode == pytest.ExitCode.OK


def test_page_names_tests_and_reasons(run, tmp_path):
    run(TESTS, "test_rows.py", "--collect-only", "--asvs-page", "asvs.md")

    rows = {}
    for line in (tmp_path / "asvs.md").read_text().splitlines():
        if line.startswith("| "):
            id, *_, tests, reason = [cell.strip() for cell in line.strip("|").split(" | ")]
            rows[id] = (tests, reason)
    of_three = "[test_rows.py::test_of_three](../test_rows.py)"
    fails = "[test_rows.py::test_that_fails](../test_rows.py)"
    assert rows["7.4.1"] == (f"{of_three}<br>{fails}", "")
    assert rows["9.1.1"] == (of_three, "")
    assert rows["6.3.8"][1] == "Deviation: signing up says that a name is taken"
    assert rows["6.6"][0] == ""


def test_page_is_what_make_asvs_writes(tmp_path):
    done = pytest_in(ROOT, "--collect-only", "-qq", "--asvs-page", str(tmp_path / "asvs.md"))
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    is_current = (tmp_path / "asvs.md").read_text() == (ROOT / "docs" / "asvs.md").read_text()
    assert is_current, "docs/asvs.md is out of date: run make asvs"


def test_without_the_rows_the_plugin_does_nothing(run, tmp_path):
    shutil.copy(asvs.__file__, tmp_path / "copied.py")
    done = run(TESTS.replace("9.1.1", "9.9.9"), "-k", "passes", plugin="copied")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
