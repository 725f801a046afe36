from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True)
class Finding:
    """What a check found, as one of the levels above, and what to do about it.

    Both texts may be shown to anybody: they hold no secret, and of people no more than usernames.
    """

    level: str
    message: str
    hint: str = ""
