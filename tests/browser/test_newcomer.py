"""A newcomer does what README says, word by word, in a terminal and in Chromium."""

import doctest
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
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, watch
from tests.site.test_imports import ROOT
from tokens import demo

README = (ROOT / "README.md").read_text("utf-8")
IGNORED = (ROOT / ".gitignore").read_text("utf-8").split()
VARIES = doctest.ELLIPSIS | doctest.REPORT_NDIFF
DONE = "this command is done"
CLICK = re.compile(
    r"(?P<private>In a private window)|open <(?P<open>\S+)>|sign in as `(?P<sign_in>\w+)`"
    r"|type `(?P<type>\w+)`|choose \*(?P<choose>[^*]+)\*"
    r"|press \*\*(?P<press>[^*]+)\*\*(?: at \*(?P<at>[^*]+)\*)?",
    re.IGNORECASE,
)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def ctrl_c():
    """A run in the background ignores it, and so would every program that the run starts."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture
def serve(tmp_path, port, ctrl_c):
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


def test_five_minutes_go_as_the_readme_says(serve, port, chromium):
    """The tests' own packages serve, because a download is not the matter here."""
    packages = f"VENV={sys.prefix} --old-file={sys.prefix}/installed"
    story = section("Five minutes").replace(":8000", f":{port}")
    with serve(f"make run {packages}") as output, terminal() as enter:
        person = Person(chromium)
        for prose, commands in re.findall(r"(.*?)(?:```console\n(.*?)```|\Z)", story, re.DOTALL):
            person.read(prose)
            for command, expected in dialogue(commands):
                shown = enter(command)
                assert matches(expected, shown), f"{command}\n{shown}"
        expect(person.tab.locator("details.ended")).to_contain_text("Reported stolen.")
        told = output.read_text()
    assert f"http://localhost:{port}/admin/" in told
    assert "To: ana@example.org" in told
    assert "<html" not in told
    assert ":8000" not in told
    assert person.findings == []


def test_lines_without_make_serve_the_same_site(serve, port):
    lines = block("sh").replace(".venv/bin/python", sys.executable).replace(":8000", f":{port}")
    lines = lines.splitlines()
    commands = [line for line in lines if "-m venv" not in line and "-m pip" not in line]
    assert len(commands) == len(lines) - 2
    with serve("\n".join(commands)) as output:
        assert "Loaded 9 people" in output.read_text()


def test_lines_for_windows_are_those_for_unix():
    lines = block("powershell").replace("py -m", "python3 -m").replace("\\Scripts\\", "/bin/")
    variables = re.findall(r'\$env:(\w+) = "(\w+)"', lines)
    lines = re.sub(r"^\$env.*$", "export " + " ".join(map("=".join, variables)), lines, flags=re.M)
    assert lines == block("sh")


def section(title):
    return re.search(rf"^## {title}\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)[1]


def block(language):
    """The lines of README in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    return text


def dialogue(text):
    """Each command in a block of console, with what the block shows as its output."""
    return re.findall(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def matches(expected, shown):
    """Three dots stand for what is different each time."""
    return doctest.OutputChecker().check_output(expected, shown, VARIES)


@contextmanager
def terminal():
    """`enter(command)` types a command into one shell, and returns what it shows."""
    with subprocess.Popen(
        ["bash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:

        def enter(command):
            shell.stdin.write(f"{command}\necho; echo {DONE}\n")
            shell.stdin.flush()
            shown = "".join(iter(shell.stdout.readline, f"{DONE}\n"))
            return shown.strip("\n") + "\n" if shown.strip() else ""

        yield enter


class Person:
    """Somebody who does each thing that a text tells them to do, and nothing more."""

    def __init__(self, chromium):
        self.chromium = chromium
        self.findings = []
        self.private()

    def read(self, text):
        told = list(CLICK.finditer(" ".join(text.split())))
        assert text.count("press **") == sum(click["press"] is not None for click in told)
        for click in told:
            does = next(name for name, value in click.groupdict().items() if value)
            getattr(self, does)(*filter(None, (click[does], click["at"])))

    def private(self, _=None):
        context = self.chromium.new_context()
        context.set_default_timeout(PATIENCE)
        self.tab = context.new_page()

    def open(self, address):
        host = re.match(r"http://([^/]+)/", address)[1]
        watch(self.tab.context, host, self.findings)
        self.tab.goto(address)

    def sign_in(self, username):
        self.tab.get_by_label("Username or email address").fill(username)
        self.tab.get_by_label("Password", exact=True).fill(demo.PASSWORD)
        self.tab.get_by_role("button", name="Sign in").click()

    def type(self, text):
        expect(self.tab.locator("input:focus")).to_be_visible()
        self.tab.keyboard.type(text)

    def choose(self, label):
        self.tab.get_by_label(label, exact=True).check()

    def press(self, words, at=""):
        place = self.tab.get_by_role("row").filter(has_text=at) if at else self.tab.locator("main")
        place.get_by_text(words, exact=True).click()
