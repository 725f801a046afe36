from datetime import UTC, datetime

from config.doctor.findings import OK, WARNING, Finding
from tokens import flows, signing
from tokens.flows import KeyUse


def signing_keys() -> Finding:
    """Which key signs, and how many live devices need each of the others."""
    now = datetime.now(UTC)
    uses, early = flows.count_by_key()
    current = signing.key_ring().signing_key(now)
    former = [use for use in uses if use.key is not current and use.key.use_from <= now]
    message = " ".join(_said_of(use, current.kid, now) for use in uses)
    hint = _advice(former, current.kid)
    if early:
        message += f" {_count(early)} got the newest tokens before the first use_from."
        hint = (
            f"{hint} If their key is no longer in the ring, their people must sign in again."
        ).lstrip()
    is_in_order = not early and all(use.need for use in former)
    return Finding(OK if is_in_order else WARNING, message, hint)


def _said_of(use: KeyUse, current: str, now: datetime) -> str:
    kid = f"{use.key.kid!r}"
    if use.key.kid == current:
        return f"{kid} signs: {_count(use.issued)}."
    if use.key.use_from > now:
        return f"{kid} signs from {use.key.use_from:%Y-%m-%d %H:%M:%S} UTC on."
    if use.need is None:
        return f"{kid} has the use_from of a key before it, so nothing tells who needs it."
    if use.need == 0:
        return f"No live device needs {kid}."
    more = use.need - (use.issued or 0)
    others = f", and {more:,} more may hold an older token of it" if more else ""
    return f"{kid} is needed: {_count(use.issued)} last issued under it{others}."


def _advice(former: list[KeyUse], current: str) -> str:
    """What to do about the keys that do not sign any more."""
    needed = [repr(use.key.kid) for use in former if use.need]
    spare = [repr(use.key.kid) for use in former if use.need == 0]
    unknown = [repr(use.key.kid) for use in former if use.need is None]
    advice = {
        f"Keep {', '.join(needed)}: without it, these devices may be signed out.": needed,
        f"Remove {', '.join(spare)} on every host.": spare,
        f"Keep {', '.join(unknown)} until all that it signed has ended, or give {current!r} a "
        "use_from: when every host had begun to sign with it.": unknown,
    }
    return " ".join(text for text, kids in advice.items() if kids)


def _count(number: int | None) -> str:
    return f"{number:,} live device{'' if number == 1 else 's'}"
