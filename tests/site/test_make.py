"""What `make run` says when it cannot begin. tests/browser/test_newcomer.py tells the rest."""

import os
import socket
import subprocess
import sys

import pytest

from tests.site.test_imports import ROOT


def make(*arguments):
    done = subprocess.run(
        ["make", "--no-print-directory", "run", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},  # not what an outer make says
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.partition("make: ***")[0]


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_taken_port_is_told_before_anything_is_installed(taken_port):
    assert make(f"VENV={sys.prefix}", f"PORT={taken_port}") == (
        2,
        "",
        f"Port {taken_port} cannot be used. Stop the program that has it, or choose another port: "
        "PORT=8123 make run\n",
    )


def test_python_without_venv_is_told_the_command_that_helps(tmp_path):
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "ensurepip.py").write_text("")  # as Debian's package python3 leaves it
    assert make(f"VENV={tmp_path}/venv", f"PYTHON={python}") == (
        2,
        "",
        "Python with venv and pip is needed. On Debian and Ubuntu, this installs it: "
        "sudo apt install python3-venv\n",
    )
    assert not (tmp_path / "venv").exists()
