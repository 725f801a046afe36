"""Take the pictures in docs/screenshots anew: `make screenshots`.

A server on a fresh demo database, a browser for each person, and a picture of each page.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.fingers import Finger  # noqa: E402
from tests.plugins.chromium import OPTIONS, find_chromium  # noqa: E402

PICTURES = ROOT / "docs" / "screenshots"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {CHROME}"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Edg/143.0.0.0"
BERLIN, LISBON, LONDON = "91.64.12.10", "85.240.12.9", "81.2.69.142"
DESK = ViewportSize(width=1280, height=900)
PAGE = ViewportSize(width=900, height=700)
PHONE = ViewportSize(width=360, height=740)
PASSWORD = "guestlist demo password"  # of tokens/demo.py, which needs Django to be set up
NOTE = "Call 555 0100 if it was not you."
INCIDENT_NOTE = "Passwords were stolen. Please choose a new one."


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=OPTIONS)
        take_pages(browser, site)
        take_admin(browser, site)
        browser.close()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of a site with the demo in a database of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"localhost:{free.getsockname()[1]}"  # a number has no passkeys
    os.environ |= {
        "DEBUG": "true",
        "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
        "SITE_URL": f"http://{address}",
        "STAFF_NEEDS_PASSKEY": "true",
        "TRUSTED_PROXIES": "127.0.0.1/32",  # the browsers say themselves where they are
    }
    manage("migrate", "--verbosity=0").wait()
    manage("load_demo").wait()
    server = manage("runserver", "--noreload", address)
    try:
        wait_for(f"http://{address}/login")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def manage(*arguments: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    sys.exit("The site did not start.")


def take_pages(browser: Browser, site: str) -> None:
    page = open_page(browser, site, FIREFOX, BERLIN)
    sign_in(page, "ana", "/devices/")
    take(page, "devices", whole=True)
    page.set_viewport_size(DESK)
    page.goto("/api/v1/devices")
    take(page, "browsable-api")
    page.goto("/api/v1/docs")
    page.get_by_text("/api/v1/devices/{id}").first.wait_for()
    take(page, "api-docs")
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.goto("/devices/")
    take(page, "devices-phone")
    page.emulate_media(color_scheme="light")
    finger = Finger(page)
    for name in ("Ana's phone", "Blue security key"):
        page.goto("/account/passkeys/add")
        add_passkey(page, name)
        finger.forget()
    page.goto("/account/passkeys/")
    take(page, "passkeys-phone")


def take_admin(browser: Browser, site: str) -> None:
    victim = open_page(browser, site, WINDOWS, LONDON)
    sign_in(victim, "ben", "/devices/")
    page = open_page(browser, site, MAC, LISBON)
    page.set_viewport_size(DESK)
    open_desk(page, "support", make_link(browser, site))
    page.goto("/admin/")
    take(page, "admin-overview", height=700)
    page.get_by_label("Find a person").fill("ana")
    page.get_by_role("button", name="Find").click()
    take(page, "admin-user", whole=True)
    page.set_viewport_size(PHONE)
    take(page, "admin-user-phone")
    page.set_viewport_size(DESK)
    page.goto("/admin/tokens/issuedtoken/?state=live")
    take(page, "admin-devices")
    page.get_by_role("link", name="Revoke Edge on Windows of ben").first.click()
    page.get_by_label("Reported stolen.").check()
    page.get_by_label("Note, shown to the person").fill(NOTE)
    take(page, "admin-revoke", height=590)
    page.get_by_role("button", name="Revoke").click()
    page.goto("/admin/tokens/issuedtoken/?q=ben")
    page.get_by_role("link", name="Edge on Windows").first.click()
    take(page, "admin-device", whole=True)
    victim.reload()
    take(victim, "signed-out", height=560)
    page.goto("/admin/tokens/issuedtoken/incident/")
    leaked = datetime.now(UTC) - timedelta(days=14)
    page.get_by_label("Signed in at or after (UTC)").fill(f"{leaked:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Show what would end").click()
    page.get_by_label("Note, shown to the person").fill(INCIDENT_NOTE)
    take(page, "admin-incident", whole=True)


def make_link(browser: Browser, site: str) -> str:
    """The link with which a superuser lets support add their first passkey."""
    printed, _ = manage("reset_passkeys", "admin", stdout=subprocess.PIPE).communicate()
    page = open_page(browser, site, MAC, LISBON)
    open_desk(page, "admin", printed.split()[-1])
    page.goto("/admin/accounts/user/?q=support")
    page.get_by_role("link", name="support", exact=True).first.click()
    page.get_by_role("link", name="Reset, or make a link").click()
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("button", name="Use a passkey").click()
    link = page.get_by_label("Link", exact=True).input_value()
    take(page, "admin-passkey-link", height=430)
    page.close()
    return link


def open_desk(page: Page, username: str, link: str) -> None:
    """Sign in, and add the first passkey with the link, on a computer with a sensor."""
    Finger(page)
    sign_in(page, username, urlsplit(link).path)
    add_passkey(page, "My computer")


def add_passkey(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("The passkey was added.").wait_for()


def open_page(browser: Browser, site: str, agent: str, address: str) -> Page:
    """A page of a browser of its own, whose requests come from that address."""
    headers = {"X-Forwarded-For": address}
    return browser.new_page(
        base_url=site, viewport=PAGE, user_agent=agent, extra_http_headers=headers
    )


def sign_in(page: Page, username: str, address: str) -> None:
    page.goto(f"/login?next={address}")
    page.get_by_label("Username or email address").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{address}")


def take(page: Page, name: str, *, whole: bool = False, height: int = 0) -> None:
    page.wait_for_load_state("networkidle")
    size = page.viewport_size
    if size and height:
        page.set_viewport_size(ViewportSize(width=size["width"], height=height))
    page.screenshot(path=PICTURES / f"{name}.png", full_page=whole, animations="disabled")
    if size and height:
        page.set_viewport_size(size)


if __name__ == "__main__":
    main()
