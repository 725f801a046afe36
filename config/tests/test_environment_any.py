"""Whatever is in a variable: it is read, or the error names the variable and does not repeat it."""

import os
from datetime import timedelta
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs.exceptions import EnvError
from hypothesis import example, given
from hypothesis import strategies as st

from config import environment
from config.databases import read_database
from tokens.keys import KeyRing, read_signing_keys

NAME = "DATABASE_URL"  # the one that `read_database` reads
HOSTS = ["example.org"]
SECOND = timedelta(seconds=1)

READERS = {
    "number": lambda: environment.number(NAME, 1, maximum=9),
    "duration": lambda: environment.duration(NAME, SECOND, minimum=SECOND, maximum=SECOND),
    "text": lambda: environment.text(NAME, "x"),
    "contact": lambda: environment.contact(NAME),
    "reasons": lambda: environment.reasons(NAME),
    "words": lambda: environment.words(NAME),
    "hosts": lambda: environment.hosts(NAME),
    "networks": lambda: environment.networks(NAME),
    "trusted origins": lambda: environment.trusted_origins(NAME),
    "open origins": lambda: environment.open_origins(NAME),
    "site": lambda: environment.site(NAME, "", HOSTS, debug=False),
    "sender": lambda: environment.sender(NAME, ""),
    "recipients": lambda: environment.recipients(NAME),
    "preload": lambda: environment.preload(NAME, 0, subdomains=True),
    "file": lambda: environment.file(NAME),
    "mail server": lambda: environment.mail_server(NAME, "smtp://localhost"),
    "secret": lambda: environment.secret(NAME, ""),
    "database": lambda: read_database("sqlite:///x", "none"),
    "JWK Set": lambda: KeyRing(read_signing_keys(os.environ[NAME], None, None)),
}
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
URLS = st.builds("{}://{}".format, st.sampled_from(["https", "smtp", "postgres", "sqlite"]), VALUES)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@given(value=VALUES | URLS)
@example(value="https://[::1")
@example(value="postgres://u:a-secret-of-ours@[host/name")
@example(value="smtp://u:a-secret-of-ours@host:port")
@example(value="Guestlist <a@example.org>\nBcc: b@example.org")
def test_any_value_is_read_or_refused_by_name(read, value):
    said = NAME
    with mock.patch.dict(os.environ, {NAME: value}):
        try:
            read()
        except (ImproperlyConfigured, EnvError) as error:
            said = str(error)
    assert NAME in said or "JWT_SIGNING_KEYS" in said
    assert "a-secret-of-ours" not in said
