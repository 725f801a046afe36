"""Text that is safe to store and to show."""

import re

from django.core.exceptions import ValidationError

# Control characters, line separators, bidirectional controls and lone surrogates: a database
# refuses them, or a terminal obeys them.
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def validate_printable(text: str) -> None:
    """Raise ValidationError if the text has an unprintable character."""
    if UNPRINTABLE.search(text):
        raise ValidationError("This holds a character that cannot be shown.", code="unprintable")


def clean_text(value: str, max_length: int) -> str:
    """Return the text without unprintable characters and outer spaces, cut to the length."""
    return UNPRINTABLE.sub("", value).strip()[:max_length].rstrip()
