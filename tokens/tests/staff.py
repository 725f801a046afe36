"""What staff, and a thief in their place, do with passkeys, links and recovery codes."""

import json
import re

from accounts import passkeys
from tests.plugins.authenticator import Authenticator


def prove(tab, key, path="/account/passkeys/", **fields):
    answer = key.use(tab.post("/account/passkeys/step-up").json())
    return tab.post(path, {"passkey": json.dumps(answer), **fields})


def add(tab, path="/account/passkeys/add", key=None, **shown):
    """Add a passkey on the page, and show its link or code to the options as the script does."""
    key = key or Authenticator()
    options = tab.post("/account/passkeys/options", shown)
    if options.status_code != 200:
        return options
    answer = json.dumps(key.make(options.json()))
    return tab.post(path, {"passkey": answer, "name": "New", **shown})


def link_of(text):
    return re.search(r'/account/passkeys/first/\S+?(?=["<\s])', text + " ")[0]


def codes_of(tab):
    page = tab.post("/account/passkeys/codes")
    return re.findall(r"<code>([A-Z2-7-]{29})</code>", page.content.decode())


def refused(answer):
    return answer.status_code, answer.json()["code"]


def made_link(user):
    return passkeys.make_link(user, by=None)
