"""A wrong configuration: a check with an id and a hint, or no start and the variable's name."""

import json
import os
import secrets
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config.checks import OURS
from tokens.keys import DevelopmentKeys, generate_signing_key, read_signing_keys
from tokens.signing import KeyRing

BASE_DIR = Path(__file__).resolve().parents[2]
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"


def found():
    return {message.id: message for message in run_checks() if message.id.startswith(OURS)}


# System checks


def test_the_defaults_are_right():
    assert found() == {}


@pytest.mark.parametrize(
    ("id", "wrong", "right"),
    [
        (
            "tokens.E001",
            {"ACCESS_TOKEN_LIFETIME": timedelta(seconds=901)},
            {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=15)},
        ),
        (
            "tokens.E002",
            {"DEVICE_IDLE_TIMEOUT": timedelta(days=31)},
            {"DEVICE_IDLE_TIMEOUT": timedelta(days=30)},
        ),
        (
            "tokens.E003",
            {"STAFF_BROWSER_IDLE_TIMEOUT": timedelta(hours=13)},
            {"STAFF_BROWSER_IDLE_TIMEOUT": timedelta(hours=12)},
        ),
        (
            "tokens.E004",
            {"REFRESH_GRACE": timedelta(seconds=61)},
            {"REFRESH_GRACE": timedelta(seconds=60)},
        ),
        (
            "accounts.E001",
            {"LOGIN_DELAY": timedelta(hours=2)},
            {"LOGIN_DELAY": timedelta(hours=1)},
        ),
        (
            "tokens.W001",
            {"SESSION_ENGINE": "django.contrib.sessions.backends.db"},
            {"SESSION_ENGINE": SIGNED_COOKIES},
        ),
        (
            "tokens.W001",
            {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
            {"SESSION_ENGINE": SIGNED_COOKIES},
        ),
    ],
)
def test_check_names_the_setting_and_a_way_out(settings, id, wrong, right):
    [name] = wrong

    setattr(settings, name, wrong[name])
    message = found()[id]
    assert name in message.msg
    assert message.hint.endswith(".")
    assert message.is_serious() == (".E" in id)

    setattr(settings, name, right[name])
    assert found() == {}


# Settings, as a process that starts


@pytest.fixture
def start(tmp_path):
    """`start(NAME="value")` runs `manage.py check` with these variables beside good ones; a name
    given as None is left out. With `show` it answers what these settings then are."""

    def run(show=None, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "SITE_URL": "https://example.org",
            "ALLOWED_HOSTS": "example.org",
            "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
            "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        environment |= variables
        environment = {name: value for name, value in environment.items() if value is not None}
        code = "import json; from django.conf import settings; print(json.dumps({"
        code += "".join(f"'{name}': repr(settings.{name})," for name in show or ()) + "}))"
        done = subprocess.run(
            [sys.executable, "-W", "error", *(["-c", code] if show else ["manage.py", "check"])],
            cwd=BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if show else done

    return run


def test_good_variables_start(start):
    done = start()
    assert done.returncode == 0
    assert "no issues" in done.stdout + done.stderr


SECRET = "do-not-print-me-" + "9" * 24
SHORT = json.dumps(
    {"keys": [{"kty": "oct", "alg": "HS256", "kid": "a", "k": "c2VjcmV0LXNlY3JldA"}]}
)
RSA = json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "a", "n": "AQAB", "d": SECRET}]})
PUBLIC = generate_signing_key("EdDSA") | {"d": None}
TWICE = generate_signing_key()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": SECRET}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 80}, "SECRET_KEY"),
        ({"SITE_URL": None}, "SITE_URL"),
        ({"SITE_URL": "example.org"}, "SITE_URL"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"SIGNUP_OPEN": "perhaps"}, "SIGNUP_OPEN"),
        ({"SESSION_COOKIE_SECURE": "perhaps"}, "SESSION_COOKIE_SECURE"),
        ({"SECURE_SSL_REDIRECT": "perhaps"}, "SECURE_SSL_REDIRECT"),
        ({"ACCESS_TOKEN_LIFETIME": "5 minutes"}, "ACCESS_TOKEN_LIFETIME"),
        ({"ACCESS_TOKEN_LIFETIME": ""}, "ACCESS_TOKEN_LIFETIME"),
        ({"ACCESS_TOKEN_LIFETIME": "0"}, "ACCESS_TOKEN_LIFETIME"),
        ({"ACCESS_TOKEN_LIFETIME": "1.5"}, "ACCESS_TOKEN_LIFETIME"),
        ({"DEVICE_IDLE_TIMEOUT": "-1"}, "DEVICE_IDLE_TIMEOUT"),
        ({"DEVICE_LIFETIME": "x"}, "DEVICE_LIFETIME"),
        ({"DEVICE_LIFETIME": "9" * 20}, "DEVICE_LIFETIME"),
        ({"STAFF_BROWSER_IDLE_TIMEOUT": "x"}, "STAFF_BROWSER_IDLE_TIMEOUT"),
        ({"STAFF_BROWSER_LIFETIME": "x"}, "STAFF_BROWSER_LIFETIME"),
        ({"REFRESH_GRACE": "-1"}, "REFRESH_GRACE"),
        ({"STEP_UP_MAX_AGE": "x"}, "STEP_UP_MAX_AGE"),
        ({"MAX_DEVICES_PER_USER": "0"}, "MAX_DEVICES_PER_USER"),
        ({"MAX_DEVICES_PER_USER": "many"}, "MAX_DEVICES_PER_USER"),
        ({"DEVICE_RETENTION": "x"}, "DEVICE_RETENTION"),
        ({"LOGIN_ATTEMPTS": "0"}, "LOGIN_ATTEMPTS"),
        ({"LOGIN_ATTEMPTS_PER_ADDRESS": "0"}, "LOGIN_ATTEMPTS_PER_ADDRESS"),
        ({"LOGIN_ATTEMPTS_PER_ACCOUNT": "0"}, "LOGIN_ATTEMPTS_PER_ACCOUNT"),
        ({"SIGNUPS_PER_HOUR": "0"}, "SIGNUPS_PER_HOUR"),
        ({"RESET_MAILS_PER_HOUR": "0"}, "RESET_MAILS_PER_HOUR"),
        ({"MAILS_PER_HOUR": "0"}, "MAILS_PER_HOUR"),
        ({"MAX_CONCURRENT_HASHES": "0"}, "MAX_CONCURRENT_HASHES"),
        ({"LOGIN_WINDOW": "0"}, "LOGIN_WINDOW"),
        ({"LOGIN_DELAY": "0"}, "LOGIN_DELAY"),
        ({"LOGIN_MAX_DELAY": "0"}, "LOGIN_MAX_DELAY"),
        ({"PASSWORD_MIN_LENGTH": "7"}, "PASSWORD_MIN_LENGTH"),
        ({"PASSWORD_MIN_LENGTH": "257"}, "PASSWORD_MIN_LENGTH"),
        ({"TRUSTED_PROXIES": "10.0.0.0/99"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "proxy.example.org"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"nonsense://user:{SECRET}@host/name"}, "DATABASE_URL"),
        ({"EMAIL_URL": "nonsense"}, "EMAIL_URL"),
        ({"EMAIL_URL": f"nonsense://user:{SECRET}@host"}, "EMAIL_URL"),
        ({"JWT_SIGNING_KEYS": None}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": f"{{{SECRET}"}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": f'"{SECRET}"'}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": "[]"}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": '{"keys": {}}'}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": '{"keys": []}'}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": json.dumps({"keys": [SECRET]})}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": SHORT}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": RSA}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": json.dumps({"keys": [TWICE, TWICE]})}, "JWT_SIGNING_KEYS"),
        ({"JWT_SIGNING_KEYS": None, "JWT_SIGNING_KEYS_FILE": "/none"}, "JWT_SIGNING_KEYS_FILE"),
        ({"JWT_SIGNING_KEYS": None, "JWT_SIGNING_KEYS_FILE": "/"}, "JWT_SIGNING_KEYS_FILE"),
    ],
)
def test_bad_variable_stops_the_start_with_its_name(start, variables, name):
    done = start(**variables)

    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert name in last
    output = done.stdout + done.stderr
    for value in variables.values():
        if value and SECRET in value:
            assert SECRET not in output
    assert TWICE["k"] not in output


def test_wrong_lifetimes_stop_the_start_by_a_check(start):
    done = start(ACCESS_TOKEN_LIFETIME="3600")
    assert done.returncode != 0
    assert "tokens.E001" in done.stderr


DEFAULTS = {
    "DEBUG": "False",
    "ALLOWED_HOSTS": "['example.org']",
    "CSRF_TRUSTED_ORIGINS": "[]",
    "CORS_ALLOWED_ORIGINS": "[]",
    "TRUSTED_PROXIES": "[]",
    "SECURE_SSL_REDIRECT": "True",
    "SESSION_COOKIE_SECURE": "True",
    "SESSION_ENGINE": f"'{SIGNED_COOKIES}'",
    "SIGNUP_OPEN": "True",
    "PASSWORD_MIN_LENGTH": "15",
    "MAX_DEVICES_PER_USER": "20",
    "ACCESS_TOKEN_LIFETIME": repr(timedelta(minutes=5)),
    "DEVICE_IDLE_TIMEOUT": repr(timedelta(days=14)),
    "DEVICE_LIFETIME": repr(timedelta(days=30)),
    "STAFF_BROWSER_IDLE_TIMEOUT": repr(timedelta(hours=1)),
    "STAFF_BROWSER_LIFETIME": repr(timedelta(hours=12)),
    "REFRESH_GRACE": repr(timedelta(seconds=30)),
    "STEP_UP_MAX_AGE": repr(timedelta(minutes=15)),
    "DEVICE_RETENTION": repr(timedelta(days=28)),
    "LOGIN_ATTEMPTS": "5",
    "LOGIN_ATTEMPTS_PER_ADDRESS": "50",
    "LOGIN_ATTEMPTS_PER_ACCOUNT": "10",
    "LOGIN_WINDOW": repr(timedelta(minutes=15)),
    "LOGIN_DELAY": repr(timedelta(seconds=30)),
    "LOGIN_MAX_DELAY": repr(timedelta(hours=1)),
    "SIGNUPS_PER_HOUR": "20",
    "RESET_MAILS_PER_HOUR": "5",
    "MAILS_PER_HOUR": "20",
    "MAX_CONCURRENT_HASHES": repr(os.cpu_count()),
    "PASSWORD_CONTEXT_WORDS": "[]",
    "JWT_ISSUER": "'https://example.org'",
    "JWT_AUDIENCE": "'https://example.org'",
}
CHOSEN = {
    "ALLOWED_HOSTS": "a.org, b.org",
    "SITE_URL": "https://example.org/",
    "SIGNUP_OPEN": "no",
    "ACCESS_TOKEN_LIFETIME": "60",
    "REFRESH_GRACE": "0",
    "DEVICE_RETENTION": "0",
    "TRUSTED_PROXIES": "10.0.0.0/8, ::1/128",
    "EMAIL_URL": "smtp://u:p@mail.example.org:587",
    "JWT_AUDIENCE": "somebody",
}


@pytest.mark.asvs("9.2.4")
def test_defaults_are_closed(start):
    assert start(show=DEFAULTS) == DEFAULTS


def test_settings_come_from_the_environment(start):
    wanted = {
        "ALLOWED_HOSTS": "['a.org', 'b.org']",
        "SIGNUP_OPEN": "False",
        "ACCESS_TOKEN_LIFETIME": repr(timedelta(minutes=1)),
        "REFRESH_GRACE": repr(timedelta(0)),
        "DEVICE_RETENTION": repr(timedelta(0)),
        "TRUSTED_PROXIES": "[IPv4Network('10.0.0.0/8'), IPv6Network('::1/128')]",
        "EMAIL_HOST": "'mail.example.org'",
        "EMAIL_PORT": "587",
        "EMAIL_HOST_PASSWORD": "'p'",
        "JWT_ISSUER": "'https://example.org'",
        "JWT_AUDIENCE": "'somebody'",
    }
    assert start(show=wanted, **CHOSEN) == wanted


def test_no_host_is_allowed_by_default(start):
    assert start(show=["ALLOWED_HOSTS"], ALLOWED_HOSTS=None) == {"ALLOWED_HOSTS": "[]"}


def test_keys_from_a_file(start, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [generate_signing_key()]}))
    done = start(JWT_SIGNING_KEYS=None, JWT_SIGNING_KEYS_FILE=str(file))
    assert done.returncode == 0, done.stderr


# Keys


def test_public_key_alone_does_not_sign():
    public = {name: value for name, value in PUBLIC.items() if value}
    with pytest.raises(ImproperlyConfigured, match="no private part"):
        KeyRing([public])
    assert KeyRing([generate_signing_key(), public]).signing_key.can_sign


def test_development_keys_are_made_once_for_their_owner_alone(tmp_path):
    path = tmp_path / ".dev-keys.json"

    first, again = DevelopmentKeys(path), DevelopmentKeys(path)

    assert path.exists() is False
    assert len(first.secret_key) >= 50
    assert path.stat().st_mode & 0o777 == 0o600
    assert again.secret_key == first.secret_key
    assert again.signing_keys == first.signing_keys
    assert KeyRing(read_signing_keys("", None, again)).signing_key.can_sign
    assert [file.name for file in tmp_path.iterdir()] == [".dev-keys.json"]


def test_development_keys_are_private_under_any_umask(tmp_path):
    former = os.umask(0)
    try:
        assert DevelopmentKeys(tmp_path / "keys").secret_key
    finally:
        os.umask(former)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_first_start_that_comes_second_takes_the_keys_of_the_first(tmp_path, monkeypatch):
    first, path = tmp_path / "first", tmp_path / "keys"
    keys = DevelopmentKeys(first).secret_key
    link = os.link

    def link_after_another_did(draft, target):
        link(first, path)
        link(draft, target)

    monkeypatch.setattr(os, "link", link_after_another_did)
    assert DevelopmentKeys(path).secret_key == keys
    assert {file.name for file in tmp_path.iterdir()} == {"first", "keys"}


def test_two_first_starts_agree_on_the_keys(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tokens.keys import DevelopmentKeys; "
        "sys.stdin.read(); keys = DevelopmentKeys(Path(sys.argv[1])); "
        "print(keys.secret_key, keys.signing_keys)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "keys")]
    starts = [
        subprocess.Popen(
            command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in starts:
        process.stdin.close()
        process.stdin = None
    printed = {process.communicate()[0] for process in starts}

    assert len(printed) == 1
    assert len(printed.pop()) > 100
    assert [file.name for file in tmp_path.iterdir()] == ["keys"]


def test_given_keys_come_before_those_of_development(tmp_path):
    given = {"keys": [generate_signing_key()]}
    development = DevelopmentKeys(tmp_path / "keys")
    assert read_signing_keys(json.dumps(given), None, development) == given["keys"]
    assert not (tmp_path / "keys").exists()


def test_development_keys_that_are_broken_are_named(tmp_path):
    path = tmp_path / "keys"
    path.write_text("{half a file")
    with pytest.raises(ImproperlyConfigured, match=str(path)):
        assert DevelopmentKeys(path).secret_key


def test_no_keys_name_the_way_to_make_one():
    with pytest.raises(ImproperlyConfigured, match="generate_signing_key"):
        read_signing_keys("", None, None)


def test_key_ring_shows_no_key():
    jwk = generate_signing_key()
    ring = KeyRing([jwk])
    assert jwk["k"] not in repr(ring.signing_key)
    assert jwk["k"] not in repr(vars(ring))
