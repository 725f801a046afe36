"""docs/security.md says what the code does, and what documents point at is there."""

import ast
import re
from importlib.metadata import version

import pytest
from django.conf import settings
from django.test import Client
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.plugins import asvs
from tests.plugins.guestlist import PASSWORD
from tests.site.test_imports import MODULES, ROOT
from tests.site.test_urls import addresses
from tokens.models import IssuedToken

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
WRITTEN = {ROOT / "docs" / "asvs.md"}  # by `make asvs`
DOCUMENTS = {path for folder in ("", "docs", "examples") for path in (ROOT / folder).glob("*.md")}
FORM = "application/x-www-form-urlencoded"


def section(title):
    """The text under a heading, to the next one."""
    [text] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return text


@pytest.mark.asvs("7.1.1", "7.1.2")
def test_lifetimes_are_those_of_the_settings():
    table = re.findall(r"^\| ([A-Z_]+) \| (\d+) \|", section("Lifetimes"), re.MULTILINE)
    used = {name: getattr(settings, name) for name, _ in table}
    seconds = {
        name: value if isinstance(value, int) else value.total_seconds()
        for name, value in used.items()
    }
    assert seconds == {name: int(value) for name, value in table}
    assert len(table) == 8


@pytest.mark.asvs("6.1.3", "6.3.4", "7.1.3")
def test_ways_in_are_those_that_are_listed(api, alice):
    """Every URL of the project is sent a good name and password; these alone make a device."""
    api(alice)
    words = {"username": "alice", "password": PASSWORD}
    basic = {"authorization": "Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ=="}
    listed = set(re.findall(r"^- `POST (\S+)`", section("Ways in"), re.MULTILINE))
    assert "/api/v1/login" in listed
    for address in addresses(alice).values():
        before = IssuedToken.objects.count()
        client = Client(raise_request_exception=False)
        client.get(address, words, headers=basic)
        client.post(address, headers=basic)
        assert IssuedToken.objects.count() == before, address
        client.post(address, words)
        client.post(address, words, content_type="application/json")
        assert (IssuedToken.objects.count() > before) == (address in listed), address


OF_ACCOUNTS = {"log_committed", "log_account", "log_accounts"}


def events():
    """The first words of what the code logs."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, message = ast.unparse(node.func), node.args[0]
            is_logged = called.startswith("logger.") or called == "log"
            if is_logged and isinstance(message, ast.Constant):
                yield message.value.partition(":")[0]
            if called in OF_ACCOUNTS:  # one may choose between two events
                named = [word for arg in node.args for word in ast.walk(arg)]
                words = [word.value for word in named if isinstance(word, ast.Constant)]
                yield from (word for word in words if " " in str(word))


@pytest.mark.asvs("16.1.1", "16.3.3")
def test_events_of_the_log_are_those_that_are_listed():
    rows = re.findall(r"^\| (`.+?) \|", section("The log"), re.MULTILINE)
    assert {event for row in rows for event in re.findall(r"`(.+?)`", row)} == set(events())


def requirements(file):
    """The packages that a file of requirements names, each with its versions."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    stated = [Requirement(line.rstrip("\\")) for line in lines if line[:1].isalpha()]
    return {canonicalize_name(one.name): one.specifier for one in stated}


def test_versions_are_above_the_floors():
    floors = dict(re.findall(r"([A-Za-z]+) (\d+\.\d+\.\d+)", section("Dependencies")))
    assert set(floors) == {"Django", "djangorestframework", "PyJWT"}
    ranges = requirements("requirements.in")
    for name, floor in floors.items():
        [lowest] = [one for one in ranges[canonicalize_name(name)] if one.operator == ">="]
        assert Version(version(name)) >= Version(lowest.version) >= Version(floor), name


def test_lock_has_a_version_in_each_range_and_no_address():
    """That it is complete, CI sees: it writes the lock again, and installs it for production."""
    locked = requirements("requirements.lock")
    for name, specifiers in requirements("requirements.in").items():
        [pin] = locked[name]
        assert pin.operator == "==", name
        assert pin.version in specifiers, name
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_deviations_are_those_of_the_rows():
    told = re.findall(r"^- \*\*([\d., ]+): ", section("Deviations"), re.MULTILINE)
    assert sorted(id for ids in told for id in ids.split(", ")) == sorted(
        id for id, row in asvs.rows().items() if row.get("reason", "").startswith("Deviation")
    )


@pytest.mark.parametrize("document", sorted(DOCUMENTS - WRITTEN), ids=lambda path: path.name)
def test_links_of_documents_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text("utf-8"))
    for file, anchor in links:
        target = document.parent / file if file else document
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


def anchors(document):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_where_changes_are_made_are_there():
    """Each answer in CONTRIBUTING's table names files of the tree."""
    rows = re.findall(r"^\| .+\? \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    assert len(rows) >= 20
    for file in re.findall(r"`(\w+/[\w./]+)`", " ".join(rows)):
        assert (ROOT / file).exists(), file
