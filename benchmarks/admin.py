"""What the pages of the admin cost on filled databases: server time and statements.

DATABASE_URL=postgres://... python -m benchmarks.admin guestlist_10k guestlist_1m guestlist_10m

Django's test client opens each page in this process, once to warm up and then RUNS times. The
figure is the median. `--write` puts the table into docs/performance.md.
"""

import argparse
import html
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import documents
from benchmarks.environment import set_up

SECTION = "admin pages"
RUNS = 5

DEVICES = "/admin/tokens/issuedtoken/"
USERS = "/admin/accounts/user/"


@dataclass(frozen=True)
class Page:
    """A page by its path, opened by GET, or by POST with `data`. Of a stream it reads the first
    piece."""

    name: str
    path: str
    data: dict[str, Any] = field(default_factory=dict)

    def open(self, client: Any) -> Any:
        answer = client.post(self.path, self.data) if self.data else client.get(self.path)
        assert answer.status_code == 200, (self, answer.status_code)
        if answer.streaming:
            next(iter(answer))
        return answer


def pages(client: Any) -> Iterator[Page]:
    """Every page that is measured, for the staff member of `client`. The filters are those that
    the lists offer, and the searches find what the database holds."""
    from accounts.models import User
    from benchmarks.population import COLLECTOR
    from tokens.models import IssuedToken

    collector = User.objects.get(username=COLLECTOR)
    device = IssuedToken.objects.filter(user__gt=collector, ip_address__isnull=False)[0]
    yield Page("Front page", "/admin/")
    yield from device_pages(client, collector, device)
    yield from revocation_pages(device)
    yield from user_pages(client, collector, device.user)


def device_pages(client: Any, collector: Any, device: Any) -> Iterator[Page]:
    """The list of devices, each of its filters, and searches of every kind."""
    from benchmarks.population import COLLECTOR, CROWDED_NETWORK
    from tokens.models import IssuedToken

    at_random = IssuedToken.objects.order_by("pk").values_list("ip_address", flat=True)
    some = [str(ip) for ip in at_random[:500]]
    v4 = next(ip for ip in some if "." in ip and not ip.startswith("203."))
    v6 = next(ip for ip in some if ":" in ip)
    block = ".".join(v4.split(".")[:2])
    searches = name_searches(device.user) | {
        "username with 10,000 devices": COLLECTOR,
        "device id": device.pk,
        "IPv4 address": v4,
        "IPv6 address": v6,
        "crowded /24": CROWDED_NETWORK,
        "/16": f"{block}.0.0/16",
        "/20": f"{block}.128.0/20",
        "IPv6 /32": "2a02::/32",
        "IPv6 /48": f"{':'.join(v6.split(':')[:3])}::/48",
        "empty network": "198.51.100.0/24",
    }
    yield from list_pages(client, "Devices", DEVICES, IssuedToken, searches)
    yield Page("Devices, sorted by signed in", f"{DEVICES}?o=7")
    yield Page("Devices of the user with 10,000", f"{DEVICES}?user__id__exact={collector.pk}")
    yield Page("A device", f"{DEVICES}{device.pk}/change/")


def revocation_pages(device: Any) -> Iterator[Page]:
    """What is asked before devices end, and the export of as many."""
    from benchmarks.population import CROWDED_NETWORK

    chosen = {"_selected_action": device.pk, "select_across": 1}
    across = f"{DEVICES}?q={CROWDED_NETWORK}"
    yield Page("Revoke a device, asked", f"{DEVICES}{device.pk}/revoke/")
    yield Page("Revoke 100,000 devices, asked", across, chosen | {"action": "revoke_selected"})
    yield Page("Export of them, first rows", across, chosen | {"action": "export_csv"})
    yield Page("Incident", f"{DEVICES}incident/")
    yield Page("Incident, in the crowded /24", f"{DEVICES}incident/?network={CROWDED_NETWORK}")
    yield Page("Incident, on ChromeOS", f"{DEVICES}incident/?os=ChromeOS")


def user_pages(client: Any, collector: Any, person: Any) -> Iterator[Page]:
    """The list of users, and two of them."""
    yield from list_pages(client, "Users", USERS, type(person), name_searches(person))
    yield Page("Users, sorted by email", f"{USERS}?o=2")
    yield Page("A user", f"{USERS}{person.pk}/change/")
    yield Page("A user with 10,000 devices", f"{USERS}{collector.pk}/change/")
    yield Page("Revoke their devices, asked", f"{USERS}{collector.pk}/revoke/")


def list_pages(
    client: Any, title: str, path: str, model: Any, searches: dict[str, Any]
) -> Iterator[Page]:
    """The first and the last page of a list, each of its filters, and these searches."""
    from accounts.admin.lists import MAX_COUNTED, LargeListAdmin

    last = -(-model.objects.all()[:MAX_COUNTED].count() // LargeListAdmin.list_per_page)
    yield Page(title, path)
    yield Page(f"{title}, last page", f"{path}?p={last}")
    for name, query in filters_of(client, path):
        yield Page(f"{title}, {name}", path + query)
    for name, term in searches.items():
        yield Page(f"{title}, search: {name}", f"{path}?q={term}")


def name_searches(person: Any) -> dict[str, Any]:
    return {
        "username": person.username,
        "start of an email address": person.email[:-8],
        "name that nobody has": "nobody-of-this-name",
        "one letter": "m",
    }


def filters_of(client: Any, path: str) -> Iterator[tuple[str, str]]:
    """The name and the query of each filter beside the list."""
    shown = client.get(path).content.decode()
    _, _, shown = shown.partition('id="changelist-filter"')
    filters = re.findall(r'<details data-filter-title="([^"]*)"(.*?)</details>', shown, re.S)
    for title, choices in filters:
        for query, choice in re.findall(r'<a href="(\?[^"]+)"[^>]*>([^<]*)</a>', choices):
            yield f"{title.strip()}: {choice.strip()}", html.unescape(query)


def measure(page: Page, client: Any) -> tuple[float, int]:
    """Milliseconds and statements of a warm run."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        page.open(client)
        statements = len(captured)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        page.open(client)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000, statements


def measure_all(database: str, username: str) -> dict[str, tuple[float, int]]:
    """By the name of each page, on that database, as that member of staff."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection
    from django.test import Client

    from accounts.models import User

    connection.close()
    connection.settings_dict["NAME"] = database
    ContentType.objects.clear_cache()
    user = User.objects.get(username=username)
    client = Client()
    client.force_login(user)
    try:
        found = {}
        for page in pages(client):
            found[page.name] = measure(page, client)
            print(f"{database} {username} {page.name}: {found[page.name][0]:.0f} ms", flush=True)
        return found
    finally:
        user.devices.all().delete()


def table(columns: dict[str, dict[str, tuple[float, int]]]) -> str:
    """The figures of each column, by its title, as Markdown. The statements are the last one's."""
    *_, last = columns.values()
    rows: list[Sequence[object]] = [["page", "statements", *columns]]
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        times = [f"{column[name][0]:.0f}" if name in column else "" for column in columns.values()]
        rows.append([name, last[name][1] if name in last else "", *times])
    return documents.table(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the pages of the admin.")
    parser.add_argument("databases", nargs="+", help="on the server of DATABASE_URL")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    set_up()
    columns = {name: measure_all(name, "root") for name in options.databases}
    largest = options.databases[-1]
    columns[f"{largest}, as support"] = measure_all(largest, "support")
    text = f"Measured on {documents.today()}: {documents.machine()}.\n\n{table(columns)}"
    print(text)
    if options.write:
        documents.write(SECTION, text)


if __name__ == "__main__":
    main()
