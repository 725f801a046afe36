from collections.abc import Mapping
from dataclasses import dataclass, field

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True)
class Finding:
    """What a check found, as one of the levels above, and what to do about it.

    Both texts may be shown to anybody: they hold no secret, and of people no more than usernames.
    `figures` are what was measured, by name, for scripts.
    """

    level: str
    message: str
    hint: str = ""
    figures: Mapping[str, int | float] = field(default_factory=dict)


def told(error: Exception) -> str:
    """The error as one sentence: its type, and the first line of its text."""
    first_line = printable(str(error).partition("\n")[0])
    return f"{type(error).__name__}: {first_line}".rstrip(": .") + "."


def printable(text: str, length: int = 200) -> str:
    """What another server said, cut, and safe to print on a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text[:length])
