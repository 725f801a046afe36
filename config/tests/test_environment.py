"""Each variable with each kind of wrong value: the application is not made and the error names the
variable, or it starts with one warning, or the value is right and the table says why."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tokens.keys import generate_signing_key

BASE_DIR = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("starts.py")

STOPS = "stops"
HUGE = "9" * 30
SECRET = secrets.token_urlsafe(64)
NOTHING = "Nothing is opened."
OFF = "It is off."


def jwks(*keys):
    return json.dumps({"keys": keys})


def oct_key(secret, kid="a"):
    k = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return {"kty": "oct", "alg": "HS256", "kid": kid, "k": k}


@pytest.fixture(scope="module")
def starter():
    command = [sys.executable, "-W", "error", "-W", "ignore:No directory at", str(RUNNER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        yield runner
        runner.stdin.close()


@pytest.fixture
def start(starter, tmp_path):
    """`start(NAME="value")` makes the application with these variables beside good ones.

    A name given as None is left out. The answer has `code`, `error` and `said`.
    """

    def run(**variables):
        environment = good(tmp_path) | variables
        given = {name: value for name, value in environment.items() if value is not None}
        starter.stdin.write(json.dumps(given) + "\n")
        starter.stdin.flush()
        return json.loads(starter.stdout.readline())

    return run


def good(folder):
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "false",
        "SECRET_KEY": SECRET,
        "JWT_SIGNING_KEYS": jwks(generate_signing_key()),
        "SITE_URL": "https://example.org",
        "ALLOWED_HOSTS": "example.org",
        "DEFAULT_FROM_EMAIL": "Guestlist <guestlist@example.org>",
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
    }


def warnings_of(started):
    """The ids of the warnings at the start. With DEBUG on, a line is text."""
    return re.findall(r"unsafe configuration.*?((?:config|accounts)\.W\d+)", started["said"])


# The table. A value that is no longer than it says stands for its kind.


KINDS = ("empty", "garbage", "zero", "negative", "huge", "wrong scheme", "neighbour")


def row(empty, garbage, zero, negative, huge, scheme, neighbour):
    """One variable: for each kind its value and what comes of it."""
    return dict(zip(KINDS, (empty, garbage, zero, negative, huge, scheme, neighbour), strict=True))


def stopping(*values):
    return row(*((value, STOPS) for value in values))


def whole_number(**other):
    return stopping("", "soon", "0", "-1", HUGE, "https://example.org", "example.org") | other


def switch(zero):
    others = stopping("", "perhaps", "0", "-1", HUGE, "https://example.org", "example.org")
    return others | {"zero": ("0", zero)}


def any_text(empty):
    fine = "It is a text, and any text will do."
    return row(
        ("", empty),
        ("!?", fine),
        ("0", fine),
        ("-1", fine),
        ("x" * 200, fine),
        ("postgres://x", fine),
        ("https://other.example", fine),
    )


def origins():
    values = ("", "x y", "0", "-1", "https://x:" + HUGE, "ftp://example.org", "example.org")
    return stopping(*values) | {"empty": ("", NOTHING)}


NUMBERS = """ACCESS_TOKEN_LIFETIME DEVICE_IDLE_TIMEOUT DEVICE_LIFETIME STAFF_BROWSER_IDLE_TIMEOUT
STAFF_BROWSER_LIFETIME STEP_UP_MAX_AGE MAX_DEVICES_PER_USER DEVICE_RETENTION FORGET_AFTER
PASSWORD_MIN_LENGTH LOGIN_ATTEMPTS LOGIN_ATTEMPTS_PER_ADDRESS LOGIN_ATTEMPTS_PER_ACCOUNT
LOGIN_WINDOW LOGIN_DELAY LOGIN_MAX_DELAY SIGNUPS_PER_HOUR RESET_MAILS_PER_HOUR MAILS_PER_HOUR
MAX_CONCURRENT_HASHES"""
A_NUMBER = {"SITE_URL": "https://192.0.2.1", "ALLOWED_HOSTS": "192.0.2.1"}
LONG = "a" * 5000

TABLE = {
    **{name: whole_number() for name in NUMBERS.split()},
    "REFRESH_GRACE": whole_number(zero=("0", "It turns the grace off.")),
    "METRICS_PORT": whole_number(empty=("", "There are no metrics.")),
    "DEBUG": switch(OFF),
    "SIGNUP_OPEN": switch(OFF),
    "STAFF_NEEDS_PASSKEY": switch("accounts.W003"),
    "SECURE_SSL_REDIRECT": switch("config.W006"),
    "SESSION_COOKIE_SECURE": switch("config.W006"),
    "SECURE_HSTS_SECONDS": whole_number(zero=("0", OFF)),
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": switch(OFF),
    "SECURE_HSTS_PRELOAD": switch(OFF),
    "PASSWORD_CONTEXT_WORDS": any_text("No more words."),
    "SUPPORT_CONTACT": any_text("Nobody is named.") | {"huge": ("x" * 201, STOPS)},
    "REVOKE_REASONS": any_text("The built-in reasons.") | {"huge": ("x" * 201, STOPS)},
    "JWT_ISSUER": any_text(STOPS) | {"huge": ("x" * 201, STOPS)},
    "JWT_AUDIENCE": any_text(STOPS) | {"huge": ("x" * 201, STOPS)},
    "SITE_URL": stopping(
        "",
        "garbage",
        "0",
        "-1",
        f"https://{LONG}.org",
        "postgres://example.org",
        "https://other.example",
    ),
    "ALLOWED_HOSTS": stopping(
        "", "x y", "0", "-1", LONG, "https://example.org", "example.org:8000"
    ),
    "CSRF_TRUSTED_ORIGINS": origins(),
    "CORS_ALLOWED_ORIGINS": origins(),
    "PASSKEY_ORIGINS": origins(),
    "TRUSTED_PROXIES": stopping(
        "", "10.0.0.1/8", "0", "-1", "0.0.0.0/0", "https://10.0.0.1", "proxy.example.org"
    )
    | {"empty": ("", NOTHING)},
    "DATABASE_URL": stopping(
        "",
        "garbage",
        "0",
        "-1",
        f"postgres://u@host:{HUGE}/name",
        "mysql://u@host/name",
        "redis://x",
    ),
    "DATABASE_POOLER": stopping(
        "", "garbage", "0", "-1", LONG, "pgbouncer://127.0.0.1", "Transaction"
    )
    | {"empty": ("", "None stands in between.")},
    "EMAIL_URL": stopping(
        "", "garbage", "0", "-1", f"smtp://host:{HUGE}", "https://host", "redis://host"
    ),
    "DEFAULT_FROM_EMAIL": stopping(
        "",
        "not an address",
        "0",
        "-1",
        f"{LONG}@example.org",
        "mailto:guestlist@example.org",
        "https://example.org",
    ),
    "SERVER_EMAIL": stopping(
        "",
        "not an address",
        "0",
        "-1",
        f"{LONG}@example.org",
        "mailto:guestlist@example.org",
        "https://example.org",
    ),
    "ADMINS": stopping(
        "",
        "not an address",
        "0",
        "-1",
        f"{LONG}@example.org",
        "mailto:ana@example.org",
        "https://example.org",
    )
    | {"empty": ("", "Nobody is mailed.")},
    "GEOIP_PATH": stopping("", "/nowhere", "0", "-1", LONG, "https://example.org", "/")
    | {"empty": ("", "The shipped file is used.")},
    "SECRET_KEY": stopping(
        "", "changeme" * 8, "0" * 64, "-1", "k" * 5000, "https://example.org", "example.org"
    ),
    "JWT_SIGNING_KEYS": stopping(
        "",
        "garbage",
        jwks(oct_key(bytes(32))),
        "-1",
        '{"keys": ' + "[" * 50_000,
        jwks({"kty": "RSA", "alg": "RS256", "kid": "a", "n": "AQAB", "e": "AQAB"}),
        jwks(oct_key(SECRET.encode())),
    ),
    "JWT_SIGNING_KEYS_FILE": stopping(
        "", "/nowhere", "0", "-1", LONG, "https://example.org", sys.executable
    ),
}
CASES = [(name, kind, *TABLE[name][kind]) for name in TABLE for kind in KINDS]


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [(name, value, outcome) for name, _, value, outcome in CASES],
    ids=[f"{name} {kind}" for name, kind, _, _ in CASES],
)
def test_each_variable_with_each_kind_of_value(start, name, value, outcome):
    variables = {name: value}
    if name == "JWT_SIGNING_KEYS_FILE":
        variables["JWT_SIGNING_KEYS"] = None
    check_outcome(start(**variables), name, outcome)


def test_the_table_has_every_variable_of_the_documentation():
    page = (BASE_DIR / "docs/operations.md").read_text().partition("## Settings")[2]
    table = page.partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in cell.split("`")[1::2]} == set(TABLE)


def check_outcome(started, name, outcome):
    if outcome == STOPS:
        assert started["code"] != 0
        assert name in started["error"]
        assert SECRET not in started["error"] + started["said"]
    else:
        assert started["code"] == 0, started["error"]
        assert warnings_of(started) == (
            [outcome] if outcome.startswith(("config.", "accounts.")) else []
        )


# Other values of one variable, or of some together


LOCAL = {"SITE_URL": "http://localhost:8000", "ALLOWED_HOSTS": "localhost"}
ANDROID = "android:apk-key-hash:" + "a" * 43
KEY, PAIR = generate_signing_key(), generate_signing_key("EdDSA")
FAR = "postgres://user:password@db.example.org/name"
TWO = "postgres:///guestlist?host=127.0.0.1,db2.example.org&port=5432,5433"


@pytest.mark.parametrize(
    ("variables", "name", "outcome"),
    [
        ({}, "", "The good ones."),
        ({"ALLOWED_HOSTS": "*"}, "", "config.W001"),
        ({"ALLOWED_HOSTS": ".example.org, [::1]"}, "", "Subdomains, and an address."),
        ({"CSRF_TRUSTED_ORIGINS": "https://x/"}, "CSRF_TRUSTED_ORIGINS", STOPS),
        ({"CSRF_TRUSTED_ORIGINS": "https://*"}, "CSRF_TRUSTED_ORIGINS", STOPS),
        ({"CSRF_TRUSTED_ORIGINS": "https://*.example.org"}, "", "config.W004"),
        ({"CSRF_TRUSTED_ORIGINS": "https://a.org,https://b.org:8443"}, "", "Two origins."),
        ({"CORS_ALLOWED_ORIGINS": "*"}, "", "config.W002"),
        ({"CORS_ALLOWED_ORIGINS": "https://a.org,*"}, "CORS_ALLOWED_ORIGINS", STOPS),
        ({"CORS_ALLOWED_ORIGINS": "https://*.a.org"}, "CORS_ALLOWED_ORIGINS", STOPS),
        ({"CORS_ALLOWED_ORIGINS": "https://u:p@a.org"}, "CORS_ALLOWED_ORIGINS", STOPS),
        ({"CORS_ALLOWED_ORIGINS": "http://a.org"}, "", "config.W003"),
        ({"CORS_ALLOWED_ORIGINS": "http://localhost:3000"}, "", "A client in development."),
        ({"SITE_URL": "https://example.org/path"}, "SITE_URL", STOPS),
        ({"SITE_URL": "https://example.org?a=b"}, "SITE_URL", STOPS),
        ({"SITE_URL": "https://user@example.org"}, "SITE_URL", STOPS),
        ({"SITE_URL": "http://example.org"}, "SITE_URL", STOPS),
        ({"SITE_URL": "https://example.org/"}, "", "The slash is dropped."),
        (LOCAL, "SITE_URL", "config.W008"),
        (A_NUMBER | {"DEBUG": "1"}, "", "accounts.W002"),
        (A_NUMBER, "accounts.E004", STOPS),
        ({"PASSKEY_ORIGINS": f"{ANDROID}, https://app.example.org:8443"}, "", "Two apps."),
        ({"PASSKEY_ORIGINS": ANDROID + "a"}, "PASSKEY_ORIGINS", STOPS),
        ({"PASSKEY_ORIGINS": "http://example.org"}, "PASSKEY_ORIGINS", STOPS),
        ({"PASSKEY_ORIGINS": "https://evilexample.org"}, "PASSKEY_ORIGINS", STOPS),
        ({"PASSKEY_ORIGINS": "https://*.example.org"}, "PASSKEY_ORIGINS", STOPS),
        ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES", STOPS),
        ({"TRUSTED_PROXIES": "0.0.0.0/1, 128.0.0.0/1"}, "TRUSTED_PROXIES", STOPS),
        ({"TRUSTED_PROXIES": "10.0.0.0/8, fc00::/7"}, "", "The private networks."),
        ({"DATABASE_URL": "sqlite://:memory:"}, "DATABASE_URL", STOPS),
        ({"DATABASE_URL": "postgres://user:password@host"}, "DATABASE_URL", STOPS),
        ({"DATABASE_URL": FAR}, "", "It is asked later."),
        ({**LOCAL, "DEBUG": "1", "DATABASE_URL": FAR}, "", "config.W005"),
        ({"DATABASE_URL": TWO}, "", "A primary and its standby."),
        ({**LOCAL, "DEBUG": "1", "DATABASE_URL": TWO}, "", "config.W005"),
        ({**LOCAL, "DEBUG": "1"}, "", "For development."),
        ({"DATABASE_POOLER": "session"}, "DATABASE_POOLER", STOPS),
        ({"DATABASE_URL": FAR, "DATABASE_POOLER": "transaction"}, "", "It is asked later."),
        (
            {"DATABASE_URL": f"{FAR}?assume_role=web", "DATABASE_POOLER": "transaction"},
            "assume_role",
            STOPS,
        ),
        ({"DATABASE_URL": f"{FAR}?assume_role=web", "DATABASE_POOLER": "session"}, "", "As said."),
        (
            {"DATABASE_URL": f"{FAR}?currentSchema=x", "DATABASE_POOLER": "session"},
            "options",
            STOPS,
        ),
        (
            {"DATABASE_URL": FAR, "DATABASE_POOLER": "session", "PGOPTIONS": "-c work_mem=8MB"},
            "PGOPTIONS",
            STOPS,
        ),
        ({"EMAIL_URL": "console://"}, "", "config.W007"),
        ({"EMAIL_URL": "file:///tmp"}, "EMAIL_URL", STOPS),
        ({"DEFAULT_FROM_EMAIL": None}, "DEFAULT_FROM_EMAIL", STOPS),
        ({"DEFAULT_FROM_EMAIL": "a@example.org, b@example.org"}, "DEFAULT_FROM_EMAIL", STOPS),
        ({"DEFAULT_FROM_EMAIL": "guestlist@example.org"}, "", "An address without a name."),
        ({"ADMINS": "Ana <ana@example.org>, bob@example.org"}, "", "Two people."),
        ({"ADMINS": "ana@example.org\nBcc: bob@example.org"}, "ADMINS", STOPS),
        ({"ADMINS": ",".join(["ana@example.org"] * 11)}, "ADMINS", STOPS),
        ({"ADMINS": f"ana@example.org, {SECRET}"}, "ADMINS", STOPS),
        ({"SERVER_EMAIL": "Errors <errors@example.org>"}, "", "An address of its own."),
        ({"SECURE_HSTS_SECONDS": "3600"}, "", "A trial: it is not preloaded then."),
        (
            {"SECURE_HSTS_SECONDS": "3600", "SECURE_HSTS_PRELOAD": "true"},
            "SECURE_HSTS_PRELOAD",
            STOPS,
        ),
        (
            {"SECURE_HSTS_INCLUDE_SUBDOMAINS": "false", "SECURE_HSTS_PRELOAD": "true"},
            "SECURE_HSTS_PRELOAD",
            STOPS,
        ),
        ({"SUPPORT_CONTACT": "Ana\u2019s desk, +49 30 1234"}, "", "A person and a phone."),
        ({"SUPPORT_CONTACT": "ana@example.org\nBcc: bob"}, "SUPPORT_CONTACT", STOPS),
        ({"SUPPORT_CONTACT": "\u202eana@example.org"}, "SUPPORT_CONTACT", STOPS),
        ({"REVOKE_REASONS": "Lost.; Stolen, so you said.;"}, "", "Two texts."),
        ({"REVOKE_REASONS": "x;" * 11}, "REVOKE_REASONS", STOPS),
        ({"REVOKE_REASONS": "Lost.; Sto\u202elen."}, "REVOKE_REASONS", STOPS),
        ({"DATABASE_URL": f"nonsense://user:{SECRET}@host/name"}, "DATABASE_URL", STOPS),
        ({"DATABASE_URL": f"postgres://u:{SECRET}@host:port/name"}, "DATABASE_URL", STOPS),
        ({"EMAIL_URL": f"nonsense://user:{SECRET}@host"}, "EMAIL_URL", STOPS),
        ({"ALLOWED_HOSTS": f"https://{SECRET}"}, "ALLOWED_HOSTS", STOPS),
        ({"TRUSTED_PROXIES": SECRET}, "TRUSTED_PROXIES", STOPS),
        ({"MAX_DEVICES_PER_USER": SECRET}, "MAX_DEVICES_PER_USER", STOPS),
        ({"JWT_SIGNING_KEYS": f"{{{SECRET}"}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": f'"{SECRET}"'}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": "[]"}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": '{"keys": {}}'}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks()}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks(SECRET)}, "JWT_SIGNING_KEYS", STOPS),
        ({"SECRET_KEY": None}, "SECRET_KEY", STOPS),
        ({"SECRET_KEY": "0123456789abcdef" * 4}, "SECRET_KEY", STOPS),
        ({"SECRET_KEY": secrets.token_hex(32)}, "", "Sixteen different characters, at random."),
        ({"JWT_SIGNING_KEYS": jwks(oct_key(b"secret" * 6))}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks(oct_key(b"short"))}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks(KEY, KEY)}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks(KEY, KEY | {"kid": "b"})}, "JWT_SIGNING_KEYS", STOPS),
        ({"JWT_SIGNING_KEYS": jwks(PAIR, PAIR | {"kid": "b"})}, "JWT_SIGNING_KEYS", STOPS),
        (
            {"JWT_SIGNING_KEYS": jwks(KEY, {**oct_key(b""), "kid": "b", "k": PAIR["x"]}, PAIR)},
            "JWT_SIGNING_KEYS",
            STOPS,
        ),
        ({"JWT_SIGNING_KEYS": jwks(KEY, PAIR)}, "", "Two keys."),
        ({"DEVICE_IDLE_TIMEOUT": "2592001"}, "DEVICE_IDLE_TIMEOUT", STOPS),
        ({"STAFF_BROWSER_IDLE_TIMEOUT": "43201"}, "STAFF_BROWSER_IDLE_TIMEOUT", STOPS),
        ({"LOGIN_DELAY": "3601"}, "LOGIN_DELAY", STOPS),
    ],
)
def test_other_values(start, variables, name, outcome):
    check_outcome(start(**variables), name, outcome)


HOUR, DAY = 3600, 86400
BOUNDS = {
    "ACCESS_TOKEN_LIFETIME": (60, 900),
    "REFRESH_GRACE": (0, 60),
    "STEP_UP_MAX_AGE": (60, HOUR),
    "DEVICE_IDLE_TIMEOUT": (HOUR, 400 * DAY),
    "DEVICE_LIFETIME": (HOUR, 400 * DAY),
    "STAFF_BROWSER_IDLE_TIMEOUT": (60, 7 * DAY),
    "STAFF_BROWSER_LIFETIME": (60, 7 * DAY),
    "DEVICE_RETENTION": (DAY, 3650 * DAY),
    "FORGET_AFTER": (HOUR, 3650 * DAY),
    "MAX_DEVICES_PER_USER": (1, 1000),
    "LOGIN_ATTEMPTS": (1, 100),
    "LOGIN_ATTEMPTS_PER_ACCOUNT": (1, 100),
    "LOGIN_ATTEMPTS_PER_ADDRESS": (1, 10_000),
    "SIGNUPS_PER_HOUR": (1, 10_000),
    "RESET_MAILS_PER_HOUR": (1, 100),
    "MAILS_PER_HOUR": (1, 1000),
    "LOGIN_WINDOW": (1, DAY),
    "LOGIN_DELAY": (1, DAY),
    "LOGIN_MAX_DELAY": (1, DAY),
    "MAX_CONCURRENT_HASHES": (1, 64),
    "PASSWORD_MIN_LENGTH": (8, 256),
    "METRICS_PORT": (1024, 65_535),
    "SECURE_HSTS_SECONDS": (0, 2 * 365 * DAY),
}


@pytest.mark.parametrize("end", [0, 1])
def test_bounds_belong_to_what_is_allowed(start, end):
    started = start(**{name: str(bounds[end]) for name, bounds in BOUNDS.items()})
    assert started["code"] == 0, started["error"]


@pytest.mark.parametrize("name", BOUNDS)
def test_value_out_of_bounds_is_told_the_bounds(start, name):
    low, high = BOUNDS[name]
    for value in (low - 1, high + 1):
        error = start(**{name: str(value)})["error"]
        assert name in error
        assert str(low) in error
        assert str(high) in error


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"FORGET_AFTER": "7d"},
            "FORGET_AFTER must be a whole number of seconds from 3600 to 315360000, such as 604800",
        ),
        (
            {"METRICS_PORT": "80"},
            "METRICS_PORT must be a whole number from 1024 to 65535, such as 9100",
        ),
        (
            {"TRUSTED_PROXIES": "127.0.0.1, nginx"},
            "TRUSTED_PROXIES: item 2 must be an address or a network: 10.0.0.7 or 10.0.0.0/8",
        ),
    ],
)
def test_error_says_what_can_be_written(start, variables, message):
    assert start(**variables)["error"] == f"ImproperlyConfigured: {message}"
