"""Tabs that are watched: nothing may fail, break the policy, or be asked of another host.

Run by itself, `pytest tests/browser examples/tests_browser`.
"""

import os
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache

from tests.browser.fingers import Finger, add_passkey, use_button
from tests.plugins.guestlist import FIREFOX, IPHONE, PASSWORD

# How many browser tests have to pass where REQUIRE_BROWSER=1, so that none gets lost unseen.
EXPECTED = 214

PATIENCE = 30_000  # milliseconds until what does not happen has failed

# What Chromium writes for each answer that is no 200; the answers themselves are looked at below.
ANSWERED_WITH_AN_ERROR = "Failed to load resource: the server responded with a status of"


def pytest_sessionfinish(session):
    passed = count_passed(session.config)
    if os.environ.get("REQUIRE_BROWSER") == "1" and passed < EXPECTED:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    passed = count_passed(config)
    terminalreporter.write_line(f"{passed} browser tests passed, {EXPECTED} are expected.")


def count_passed(config):
    return len(config.pluginmanager.get_plugin("terminalreporter").stats.get("passed", []))


@pytest.fixture(autouse=True)
def nothing_cached():
    """The overview of one test is not that of the next."""
    cache.clear()


@pytest.fixture
def open_tab(chromium, live_server):
    """`open_tab(**options)` is a tab of a browser of its own, with Playwright's options."""
    from playwright.sync_api import expect

    findings, contexts = [], []
    expect.set_options(timeout=PATIENCE)

    def open_it(**options):
        context = chromium.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        watch(context, urlsplit(live_server.url).netloc, findings)
        return context.new_page()

    open_it.findings = findings  # a test takes out what it provokes
    yield open_it
    for context in contexts:
        context.close()
    assert findings == []


def watch(context, host, findings):
    def note_request(request):
        address = urlsplit(request.url)
        if address.scheme != "data" and address.netloc != host:
            findings.append(f"asked another host: {request.url}")

    def note_response(response):
        if response.status >= 400 and not response.request.is_navigation_request():
            findings.append(f"{response.status}: {response.url}")

    def note_console(message):
        is_answer = message.text.startswith(ANSWERED_WITH_AN_ERROR)
        if message.type in ("error", "warning") and not is_answer:
            findings.append(f"console, {message.type}: {message.text}")

    def note_failure(request):
        if request.failure != "net::ERR_ABORTED":  # by a click on the way to the next page
            findings.append(f"{request.failure}: {request.url}")

    context.on("request", note_request)
    context.on("response", note_response)
    context.on("console", note_console)
    context.on("requestfailed", note_failure)
    context.on("weberror", lambda error: findings.append(f"script: {error.error}"))


@pytest.fixture
def tab(open_tab):
    return open_tab()


def sign_in(tab, user, address="/login"):
    tab.goto(address)
    tab.get_by_label("Username or email address").fill(user.username)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()


# Support, and somebody who calls


@pytest.fixture
def ann(alice):
    """Somebody whose e-mail address begins unlike her username."""
    type(alice).objects.filter(pk=alice.pk).update(email="ann.miller@example.org")
    return alice


@pytest.fixture
def laptop(api, ann):
    return api(ann, headers={"user-agent": FIREFOX})


@pytest.fixture
def phone(api, ann):
    return api(ann, headers={"user-agent": IPHONE})


@pytest.fixture
def at_work(open_tab, support):
    """`at_work(options)` is a tab in which support is on the front page of the admin."""
    from playwright.sync_api import expect

    def open_it(options):
        tab = open_tab(**options)
        sign_in(tab, support, "/admin/")
        expect(tab.get_by_role("heading", name="Administration")).to_be_visible()
        return tab

    return open_it


# Somebody who is signed in


@pytest.fixture
def hers(tab, alice):
    """A tab in which alice is signed in."""
    sign_in(tab, alice)
    tab.get_by_role("heading", name="Your devices").wait_for()
    return tab


# Passkeys


@pytest.fixture
def here(settings, live_server):
    """Passkeys belong to the address that the browser shows."""
    settings.SITE_URL = live_server.url


@pytest.fixture
def finger(here, hers):
    """The finger of alice, who has a passkey."""
    finger = Finger(hers)
    add_passkey(hers)
    return finger


@pytest.fixture
def no_offer(hers):
    """The browser offers no passkey by itself: its offer would be answered before the button is."""
    hers.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")


@pytest.fixture
def signed_out(finger, hers):
    """The finger of alice, who is signed out, and does not touch yet."""
    finger.touch(by_itself=False)
    hers.get_by_role("button", name="Sign out").click()
    use_button(hers).wait_for()
    return finger


@pytest.fixture
def ended(api, alice, root, age):
    """Devices of alice that ended in all ways, one of them with a note."""
    from tokens.models import IssuedToken

    for reason in IssuedToken.Reason.values:
        device = api(alice, headers={"user-agent": FIREFOX}).device
        alice.devices.filter(pk=device.pk).revoke(reason=reason, by=root, note="Call 555.")
    device = api(alice, headers={"user-agent": FIREFOX}).device
    age(device, days=15)


# Staff and their passkeys


@pytest.fixture
def staff_needs_passkey(here, settings):
    settings.STAFF_NEEDS_PASSKEY = True


@pytest.fixture
def open_desk(open_tab):
    """`open_desk()` is a tab of a computer with a sensor, as `tab.finger`.

    The browser offers no passkey by itself, because its offer would be answered at once.
    """

    def open_it():
        tab = open_tab()
        tab.add_init_script(
            "PublicKeyCredential.isConditionalMediationAvailable = async () => false"
        )
        tab.finger = Finger(tab)
        return tab

    return open_it


@pytest.fixture
def chief(open_desk, root):
    """A tab in which a superuser works in the admin."""
    from tests.browser.staff import start

    tab = open_desk()
    start(tab, root)
    return tab


@pytest.fixture
def desk(open_desk, support):
    """A tab in which support signed in by password. The computer holds their passkey.

    Their recovery codes are `desk.codes`.
    """
    from tests.browser.staff import sign_in_again, start

    tab = open_desk()
    tab.codes = start(tab, support)
    sign_in_again(tab, support)
    return tab
