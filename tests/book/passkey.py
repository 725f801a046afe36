"""What the first administrator does with the link of `create_admin`: passkey, admin, codes."""

import json
import re
import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

sys.path.insert(0, "/srv/guestlist/current")
from tests.plugins.authenticator import Authenticator

SITE = "https://example.org"
LINK, PASSWORD = sys.argv[1:]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


def open_page(address: str, **fields: str) -> tuple[str, str]:
    """The address where it ended, and the page. With fields, they are posted."""
    data = urllib.parse.urlencode(fields).encode() if fields else None
    request = urllib.request.Request(address, data, {"Referer": f"{SITE}/"})
    with browser.open(request) as answer:
        return answer.geturl(), answer.read().decode()


def token_of(page: str) -> str:
    [found, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    return found


address, page = open_page(LINK)
words = {"username": "root", "password": PASSWORD, "next": urllib.parse.urlsplit(LINK).path}
address, page = open_page(address, csrfmiddlewaretoken=token_of(page), **words)
assert address == LINK, address
shown = {"csrfmiddlewaretoken": token_of(page), "link": LINK.rpartition("/")[2]}
_, options = open_page(f"{SITE}/account/passkeys/options", **shown)
answer = json.dumps(Authenticator(SITE).make(json.loads(options)))
address, page = open_page(LINK, passkey=answer, name="Security key", **shown)
assert address == f"{SITE}/account/passkeys/codes", address
_, page = open_page(address, csrfmiddlewaretoken=token_of(page))
assert len(re.findall(r"<code>[A-Z2-7-]{29}</code>", page)) == 10
address, page = open_page(f"{SITE}/admin/")
assert address == f"{SITE}/admin/", address
