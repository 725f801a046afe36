"""A wrong configuration: a check with an id and a hint, or no start and the variable's name."""

import json
import os
import secrets
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from config.checks import OURS
from tokens.keys import DevelopmentKeys, generate_signing_key, read_signing_keys
from tokens.signing import KeyRing

BASE_DIR = Path(__file__).resolve().parents[2]
SIGNED_COOKIES = "django.contrib.sessions.backends.signed_cookies"
OUR_BACKEND = "accounts.backends.RoleBackend"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
OUR_HASHER = "accounts.hashers.Argon2PasswordHasher"
DJANGOS_ARGON2 = "django.contrib.auth.hashers.Argon2PasswordHasher"
MD5 = "django.contrib.auth.hashers.MD5PasswordHasher"
MIDDLEWARE = settings.MIDDLEWARE
OUR_MIDDLEWARE = "tokens.middleware.DeviceMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"


def with_authentication(path):
    ours = settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"]
    return {**settings.REST_FRAMEWORK, "DEFAULT_AUTHENTICATION_CLASSES": [*ours, path]}


@pytest.fixture(autouse=True)
def as_in_production(settings):
    """Elsewhere the test client speaks plain HTTP, and staff sign in by password."""
    settings.SECURE_SSL_REDIRECT = settings.STAFF_NEEDS_PASSKEY = True


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
        *[
            (
                "accounts.E002",
                {"AUTHENTICATION_BACKENDS": backends},
                {"AUTHENTICATION_BACKENDS": [OUR_BACKEND]},
            )
            for backends in ([], [MODEL_BACKEND], [OUR_BACKEND, MODEL_BACKEND], ["no.such"])
        ],
        *[
            (
                "accounts.E003",
                {"PASSWORD_HASHERS": hashers},
                {"PASSWORD_HASHERS": [OUR_HASHER, MD5]},
            )
            for hashers in ([], [MD5], [MD5, OUR_HASHER], [DJANGOS_ARGON2])
        ],
        *[
            ("config.E002", {"MIDDLEWARE": middleware}, {"MIDDLEWARE": MIDDLEWARE})
            for middleware in (MIDDLEWARE[1:], [MIDDLEWARE[1], MIDDLEWARE[0], *MIDDLEWARE[2:]])
        ],
        *[
            ("tokens.E007", {"MIDDLEWARE": middleware}, {"MIDDLEWARE": MIDDLEWARE})
            for middleware in (
                [one for one in MIDDLEWARE if one != OUR_MIDDLEWARE],
                [DJANGOS if one == OUR_MIDDLEWARE else one for one in MIDDLEWARE],
                [*MIDDLEWARE, DJANGOS],
                [*MIDDLEWARE, OUR_MIDDLEWARE],
            )
        ],
        *[
            (
                "tokens.E008",
                {"REST_FRAMEWORK": with_authentication(f"rest_framework.authentication.{name}")},
                {"REST_FRAMEWORK": settings.REST_FRAMEWORK},
            )
            for name in ("SessionAuthentication", "BasicAuthentication", "RemoteUserAuthentication")
        ],
        ("accounts.W003", {"STAFF_NEEDS_PASSKEY": False}, {"STAFF_NEEDS_PASSKEY": True}),
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
    assert name in message.msg or "DEFAULT_AUTHENTICATION_CLASSES" in message.msg
    assert message.hint.endswith(".")
    assert message.is_serious() == (".E" in id)

    setattr(settings, name, right[name])
    assert found() == {}


# Settings, as a process that starts


STARTER = """
import json, os, runpy, sys
import corsheaders.defaults, dj_database_url, django.core.management, environs, tokens.keys

for line in sys.stdin:
    if not os.fork():
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()

code, command, output, environment = json.loads(line)
for stream, path in zip((1, 2), output):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
os.environ.clear()
os.environ.update(environment)
if code:
    exec(code)
else:
    sys.argv = ["manage.py", command]
    runpy.run_path("manage.py", run_name="__main__")
"""


@pytest.fixture(scope="session")
def starter():
    """A process that has read everything but the settings, and forks for each start: reading it
    all again would take most of the time of these tests."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", STARTER],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def start(starter, tmp_path):
    """`start(NAME="value")` runs `manage.py check` with these variables beside good ones; a name
    given as None is left out. With `show` it answers what these settings then are."""

    def run(command="check", *, show=None, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "SITE_URL": "https://example.org",
            "ALLOWED_HOSTS": "example.org",
            "DEFAULT_FROM_EMAIL": "guestlist@example.org",
            "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
            "JWT_SIGNING_KEYS": json.dumps({"keys": [generate_signing_key()]}),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        environment |= variables
        environment = {name: value for name, value in environment.items() if value is not None}
        code = "import json; from django.conf import settings; print(json.dumps({"
        code += "".join(f"'{name}': repr(settings.{name})," for name in show or ()) + "}))"
        stdout, stderr = tmp_path / "stdout", tmp_path / "stderr"
        message = [show and code, command, [str(stdout), str(stderr)], environment]
        starter.stdin.write(json.dumps(message) + "\n")
        starter.stdin.flush()
        status = int(starter.stdout.readline())
        if show:
            return json.loads(stdout.read_text())
        return SimpleNamespace(
            returncode=status, stdout=stdout.read_text(), stderr=stderr.read_text()
        )

    return run


def test_good_variables_start(start):
    done = start()
    assert done.returncode == 0
    assert "no issues" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SIGNING_KEYS", "ACCESS_TOKEN_LIFETIME"])
def test_bad_variable_stops_a_command_with_its_name(start, name):
    done = start(**{name: "[]"})
    assert done.returncode != 0
    assert name in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["check", "generate_signing_key"])
def test_new_key_is_made_where_the_site_does_not_start(start, command):
    weak = {"kty": "oct", "alg": "HS256", "kid": "a", "k": "A" * 43}

    done = start(command, JWT_SIGNING_KEYS=json.dumps({"keys": [weak]}))

    assert "tokens.E005" in done.stderr
    assert "can be guessed" in done.stderr
    if command == "check":
        assert done.returncode != 0
    else:
        assert done.returncode == 0
        assert KeyRing([json.loads(done.stdout)])


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
    "STAFF_NEEDS_PASSKEY": "True",
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
    "FORGET_AFTER": repr(timedelta(days=7)),
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
    "SITE_URL": "https://a.org/",
    "SIGNUP_OPEN": "no",
    "ACCESS_TOKEN_LIFETIME": "60",
    "REFRESH_GRACE": "0",
    "DEVICE_RETENTION": "86400",
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
        "DEVICE_RETENTION": repr(timedelta(days=1)),
        "TRUSTED_PROXIES": "[IPv4Network('10.0.0.0/8'), IPv6Network('::1/128')]",
        "EMAIL_HOST": "'mail.example.org'",
        "EMAIL_PORT": "587",
        "EMAIL_HOST_PASSWORD": "'p'",
        "JWT_ISSUER": "'https://a.org'",
        "JWT_AUDIENCE": "'somebody'",
    }
    assert start(show=wanted, **CHOSEN) == wanted


def test_keys_from_a_file(start, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [generate_signing_key()]}))
    done = start(JWT_SIGNING_KEYS=None, JWT_SIGNING_KEYS_FILE=str(file))
    assert done.returncode == 0, done.stderr


# Keys


def test_public_key_alone_does_not_sign():
    public = {name: value for name, value in generate_signing_key("EdDSA").items() if name != "d"}
    with pytest.raises(ImproperlyConfigured, match="no private key"):
        KeyRing([public])
    assert KeyRing([generate_signing_key(), public]).keys[0].can_sign


def test_development_keys_are_made_once_for_their_owner_alone(tmp_path):
    path = tmp_path / ".dev-keys.json"

    first, again = DevelopmentKeys(path), DevelopmentKeys(path)

    assert path.exists() is False
    assert len(first.secret_key) >= 50
    assert path.stat().st_mode & 0o777 == 0o600
    assert again.secret_key == first.secret_key
    assert again.signing_keys == first.signing_keys
    assert KeyRing(read_signing_keys("", None, again)).keys[0].can_sign
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
    assert jwk["k"] not in repr(ring.keys[0])
    assert jwk["k"] not in repr(vars(ring))
