"""A newcomer does what README says."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from tests.browser.conftest import PATIENCE
from tests.site.test_imports import ROOT

README = (ROOT / "README.md").read_text("utf-8")
IGNORED = (ROOT / ".gitignore").read_text("utf-8").split()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def serve(tmp_path, port):
    """`with serve("make run") as output:` works in a copy of the checkout, with its packages."""
    checkout = tmp_path / "guestlist"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".git", *(one.strip("/") for one in IGNORED))
    )

    @contextmanager
    def start(command):
        output = tmp_path / "output"
        with output.open("w") as file:
            server = subprocess.Popen(
                ["bash", "-e", "-c", command],
                cwd=checkout,
                env={"PATH": os.environ["PATH"], "PORT": str(port)},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(f"http://127.0.0.1:{port}/login", server, output)
            yield output
        finally:
            os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does
            server.wait(PATIENCE / 1000)
        assert "Traceback" not in output.read_text()
        assert "***" not in output.read_text()

    return start


def wait_for(page, server, output):
    for _ in range(2 * PATIENCE // 100):
        assert server.poll() is None, output.read_text()
        try:
            urllib.request.urlopen(page).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(output.read_text())


def test_lines_without_make_serve_the_same_site(serve, port):
    lines = block("sh").replace(".venv/bin/python", sys.executable).splitlines()
    lines[-1] += f" {port}"
    commands = [line for line in lines if "-m venv" not in line and "-m pip" not in line]
    assert len(commands) == len(lines) - 2
    with serve("\n".join(commands)) as output:
        assert "Loaded 9 people" in output.read_text()


def test_lines_for_windows_are_those_for_unix():
    lines = block("powershell").replace("py -m", "python3 -m").replace("\\Scripts\\", "/bin/")
    variables = re.findall(r'\$env:(\w+) = "(\w+)"', lines)
    lines = re.sub(r"^\$env.*$", "export " + " ".join(map("=".join, variables)), lines, flags=re.M)
    assert lines == block("sh")


def block(language):
    """The lines of README in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    return text
