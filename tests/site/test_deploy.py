"""The files of deploy/: systemd and nginx take them, and the book installs what is there."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.site.test_imports import ROOT

DEPLOY = ROOT / "deploy"
BOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
UNITS = sorted(DEPLOY.glob("*.service")) + sorted(DEPLOY.glob("*.socket"))
UNITS += sorted(DEPLOY.glob("*.timer"))
PYTHON = "/srv/guestlist/current/venv/bin/python"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    """It takes them with a Python that is there. Units that they name are looked up beside them."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PYTHON, sys.executable))
    words = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_services_run_as_the_user_of_the_site_and_change_nothing_of_the_system():
    services = [unit.read_text() for unit in UNITS if unit.suffix == ".service"]
    assert len(services) == 4
    [shared] = {
        service.partition("\nNoNewPrivileges=")[2].partition("\n\n")[0].strip()
        for service in services
    }
    assert "ProtectSystem=strict" in shared
    for service in services:
        assert "\nUser=guestlist\n" in service
        assert "\nEnvironmentFile=/etc/guestlist/environment\n" in service


def test_book_names_each_unit():
    for unit in UNITS:
        assert unit.name in BOOK, unit.name


def test_services_may_write_where_the_book_makes_folders():
    [folder] = re.findall(
        r"^ReadWritePaths=(\S+)$", (DEPLOY / "guestlist-backup.service").read_text(), re.M
    )
    assert re.search(rf"^install --directory --mode 0700 --owner guestlist .*{folder}$", BOOK, re.M)
