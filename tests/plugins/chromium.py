"""The browser of the browser tests: Debian's Chromium, or Chrome where that is what there is.

`python tests/plugins/chromium.py` says in one line if there is none, and fails.
"""

import os
import shutil
import sys

import pytest

NAMES = ["chromium", "chromium-browser", "google-chrome"]
OPTIONS = [
    "--no-sandbox",  # which root has not; all that it opens is our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def chromium():
    """Skipped without a browser, unless REQUIRE_BROWSER=1 makes that a failure.

    Belongs to a run of its own: Playwright's loop stays in the thread of the tests, where
    Django's ORM refuses to work unless it is told that this is meant.
    """
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        refuse = pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip
        refuse("Chromium is not installed: apt install chromium")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


if __name__ == "__main__" and find_chromium() is None:
    sys.exit("No Chromium here, so the browser tests are left out: apt install chromium")
