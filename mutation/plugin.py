"""A pytest plugin: each mutant meets a database of its own, and first the tests that killed others.

What is made once in a process is made anew in each test, which would not be seen to use it else.
"""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

KILLERS = Path("killers.txt")


def pytest_configure(config):
    config.pluginmanager.register(FreshDatabase())


def function_under_test():
    return os.environ.get("MUTANT_UNDER_TEST", "").partition("__mutmut_")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """First the tests that killed mutants of this function, then of any, then the quickest."""
    stats = Path("mutmut-stats.json")
    durations = json.loads(stats.read_text())["duration_by_test"] if stats.exists() else {}
    kills: Counter[str] = Counter()
    for line in KILLERS.read_text().splitlines() if KILLERS.exists() else []:
        function, _, test = line.partition(" ")
        kills[test] += 1000 if function == function_under_test() else 1
    items.sort(key=lambda item: (-kills[item.nodeid], durations.get(item.nodeid, 0)))


def pytest_runtest_logreport(report):
    if report.failed and "." in function_under_test():
        with KILLERS.open("a") as file:
            file.write(f"{function_under_test()} {report.nodeid}\n")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    from accounts import compiled
    from tokens.signing import key_ring

    for cached in (compiled.select, compiled.count, compiled.update, compiled.delete, key_ring):
        cached.cache_clear()


class FreshDatabase:
    @pytest.fixture(scope="session")
    @classmethod
    def django_db_setup(cls, django_db_blocker):
        """A copy of a migrated database, in place of pytest-django's: no mutant meets what another
        left behind, and none waits for the migrations."""
        from django.db import connection

        template = Path("test-template.sqlite3").resolve()
        copy = template.with_name(f"test-{os.getpid()}.sqlite3")
        with django_db_blocker.unblock():
            if not template.exists():
                connection.creation.create_test_db(verbosity=0, autoclobber=True)
                connection.close()
                Path(connection.settings_dict["NAME"]).rename(template)
            connection.settings_dict["NAME"] = shutil.copy(template, copy)
            yield
            connection.close()
            for path in copy.parent.glob(f"{copy.name}*"):
                path.unlink()
