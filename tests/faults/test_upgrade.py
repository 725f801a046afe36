"""A release takes over from the one before, while people go on, and gives back to it."""

import logging
import os
import subprocess
import sys

import pytest

from tests.faults.people import ADD_PEOPLE, LIMITS
from tests.faults.servers import Servers
from tests.faults.sites import BASE_DIR, Site
from tests.faults.test_doctor import address
from tests.faults.test_outages import going_on

logger = logging.getLogger(__name__)

# The last commit of the release before. Its code must run on the tables of this one.
FORMER = "d3f5cb59069e53bf72e4812d554b81a50e96de15"
# Its own tests of what people do: sign in, refresh, revoke, sign up, the admin, pages, commands.
TESTS = [
    "accounts/tests/test_signup.py",
    "tokens/tests/test_admin_revocation.py",
    "tokens/tests/test_api_devices.py",
    "tokens/tests/test_commands.py",
    "tokens/tests/test_rotation.py",
    "tokens/tests/test_views_sign_in.py",
]


@pytest.fixture
def former(tmp_path):
    """A folder with the code of the release before."""
    found = subprocess.run(["git", "cat-file", "-e", FORMER], cwd=BASE_DIR, check=False)
    if found.returncode:
        pytest.skip("this clone lacks the commit of the release before: git fetch --unshallow")
    folder = tmp_path / "former"
    folder.mkdir()
    archive = subprocess.Popen(["git", "archive", FORMER], cwd=BASE_DIR, stdout=subprocess.PIPE)
    with archive:
        subprocess.run(["tar", "--extract"], cwd=folder, stdin=archive.stdout, check=True)
    assert archive.returncode == 0
    return folder


@pytest.mark.slow
def test_tests_of_the_release_before_pass_on_the_new_tables(former, tmp_path):
    name = f"former_{os.urandom(3).hex()}"
    database = address(tmp_path, name)
    tables = f"sqlite:///{tmp_path}/test-db.sqlite3"  # where pytest looks for them
    if not database.startswith("sqlite"):
        tables = database.replace("/doctor_", "/test_doctor_")
    site = Site(tmp_path / "site", tables)
    site.lay_out()
    if not site.is_sqlite:
        site.server(f'CREATE DATABASE "{site.name}"')
    try:
        site.manage("migrate", "--verbosity", "0")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--reuse-db", "-q", "-p", "no:cacheprovider", *TESTS],
            cwd=former,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": database},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        site.remove()
    assert done.returncode == 0, done.stdout[-6000:]
    logger.info("%s", done.stdout.splitlines()[-1])


@pytest.mark.faults
def test_nobody_notices_an_upgrade_and_a_way_back(former, tmp_path):
    site = Site(tmp_path / "site", "", former)
    site.database = address(tmp_path, f"upgrade_{os.urandom(3).hex()}")
    site.lay_out()
    site.environment |= LIMITS
    if not site.is_sqlite:
        site.server(f'CREATE DATABASE "{site.name}"')
    servers = Servers(site, workers=3)
    try:
        site.set_up()
        site.manage("shell", "-c", ADD_PEOPLE)
        servers.start()
        with going_on("upgrade, and the way back", site, servers) as people:
            site.checkout = BASE_DIR
            site.manage("migrate", "--verbosity", "0")
            site.manage("collectstatic", "--no-input", "--verbosity", "0")
            for checkout in (BASE_DIR, former, BASE_DIR):
                servers.stop_gunicorn()
                servers.start_gunicorn(checkout)
                servers.await_answer()
        assert people.answers[None] == 0
        logger.info("%d of these were answered 503", people.answers[503])
    finally:
        servers.stop()
        site.remove()
