"""The page on an origin of its own, and tabs that show it.

Run by itself, `pytest tests/browser examples/tests_browser`.
"""

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from examples.tests.proxy import Proxy, serve

EXAMPLE = Path(__file__).parents[1] / "browser"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def live_server():
    """A server with the middleware that settings.py adds for CORS_ALLOWED_ORIGINS."""
    from django.conf import settings

    middleware = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware):
        server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture
def network(live_server):
    """The way to the site, which a test may make a bad one."""
    with serve(Proxy(live_server.url)) as proxy:
        yield proxy


@pytest.fixture
def page_url(network, settings, tmp_path):
    """The page, served from another origin than the site, with the site's address in it."""
    for file in EXAMPLE.iterdir():
        content = file.read_text().replace("http://localhost:8000", network.url)
        (tmp_path / file.name).write_text(content)
    handler = functools.partial(QuietHandler, directory=tmp_path)
    with serve(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        settings.CORS_ALLOWED_ORIGINS = [origin]
        yield origin


@pytest.fixture
def open_tab(chromium, page_url):
    """`open_tab()` is another tab of the same browser, showing the page."""
    context = chromium.new_context()
    context.set_default_timeout(10_000)

    def open_it():
        tab = context.new_page()
        tab.goto(page_url)
        return tab

    yield open_it
    context.close()
