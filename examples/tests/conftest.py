import json

import pytest

from examples.python.guestlist_client import GuestlistClient
from examples.tests.proxy import Proxy, serve


@pytest.fixture
def network(live_server):
    """The way to the site, which a test may make a bad one."""
    with serve(Proxy(live_server.url)) as proxy:
        yield proxy


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "guestlist.json")


class Store:
    """The file that a client keeps its pair in."""

    def __init__(self, path):
        self.path = path

    def read(self):
        return json.loads(self.path.read_text())

    def change(self, **values):
        self.path.write_text(json.dumps({**self.read(), **values}))

    def make_due(self):
        """As if the access token were about to expire."""
        self.change(refresh_at=0)


@pytest.fixture
def new_client(network, store):
    """`new_client()` is another client of the same file, as in another process."""
    clients = []

    def new():
        clients.append(GuestlistClient(network.url, store.path))
        return clients[-1]

    yield new
    for client in clients:
        client.http.close()
