"""What a site needs to run, examined one subject at a time. Nothing is changed, nothing is sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from django.core.management.base import CommandError
from django.db import connection

from config.doctor import (
    addresses,
    configuration,
    database,
    devices,
    disk,
    files,
    keys,
    mails,
    people,
    pooling,
    revocation,
    static,
    tls,
    url,
)
from config.doctor.findings import ERROR, WARNING, Finding, told
from config.doctor.front_door import FrontDoor
from config.doctor.limits import LOOK, STATEMENT, deadline, only_reading
from tokens.management.arguments import find_user

# In the order in which they run and are printed.
CHECKS: dict[str, Callable[[], Finding]] = {
    "database": database.answer,
    "migrations": database.migrations,
    "transactions": database.transactions,
    "clocks": database.clocks,
    "writes": database.writes,
    "disk": disk.space,
    "limits": pooling.limits,
    "pooling": pooling.pooler,
    "configuration": configuration.system_checks,
    "secret files": files.secret_files,
    "signing keys": keys.signing_keys,
    "mail": mails.server,
    "mail queue": mails.queue,
    "places": files.places,
    "static files": static.static_files,
    "addresses": addresses.sign_ins,
    "purge": devices.purge,
    "ended devices": devices.unmarked,
    "restore": devices.restore,
    "usernames": people.usernames,
    "passwords": people.passwords,
    "roles": people.roles,
    "staff passkeys": people.staff_passkeys,
    "superuser": people.superuser,
}
# The same, asked through the front door of the site.
FRONT_DOOR: dict[str, Callable[[FrontDoor], Finding]] = {
    "url": url.answer,
    "url tls": tls.tls,
    "url scheme": url.scheme,
    "url host": url.host,
    "url http": url.plain_http,
    "url hsts": url.hsts,
    "url cookies": url.cookies,
    "url static files": static.served,
    "url claims": url.claims,
    "url health": url.health,
}
# When the database is away, these are examined all the same.
OFFLINE = {
    "database",
    "configuration",
    "secret files",
    "mail",
    "places",
    "static files",
}
NOT_EXAMINED = Finding(WARNING, "Not examined, because the database does not answer.")
NOT_MIGRATED = Finding(WARNING, "Not examined, because migrations are missing.")
QUERY_CANCELED = "57014"  # of PostgreSQL
TOO_SLOW = Finding(
    WARNING,
    f"Not examined: PostgreSQL took longer than {STATEMENT} s.",
    "Is it busy? On millions of devices this can be.",
)
NOT_ASKED = Finding(WARNING, "Not examined, because the site does not answer.")
NOT_PRIVATE = Finding(
    ERROR, "Not measured: others could read the token on the way.", "See the line of url tls."
)


def examine_all() -> dict[str, Finding]:
    """What each check finds, by name."""
    findings: dict[str, Finding] = {}
    offline = OFFLINE | ({"disk"} if connection.vendor == "sqlite" else set())
    for name, look in CHECKS.items():
        if name in offline:
            findings[name] = examine(look)
        elif findings["database"].level == ERROR:
            findings[name] = NOT_EXAMINED
        else:
            migrations = findings.get("migrations")
            is_behind = migrations is not None and migrations.level == ERROR
            findings[name] = examine(look, only_reading, is_behind=is_behind)
    return findings


def examine_front_door(door: FrontDoor) -> dict[str, Finding]:
    """What each check finds that asks the site over the network, by name."""
    findings: dict[str, Finding] = {}
    for name, look in FRONT_DOOR.items():
        is_closed = findings and not door.has_answered
        findings[name] = NOT_ASKED if is_closed else examine(partial(look, door))
    return findings


def measure_revocation(door: FrontDoor, username: str) -> dict[str, Finding]:
    """What the two checks find that need a device. It is made for this user, and ended."""
    if not door.has_answered:
        return {"revocation": NOT_ASKED}
    if not door.is_private:
        return {"revocation": NOT_PRIVATE}
    try:
        with revocation.trial(find_user(username)) as made:
            return {
                "url address": examine(partial(revocation.address, door, made)),
                "revocation": examine(partial(revocation.refusals, door, made)),
            }
    except Exception as error:
        message = str(error) if isinstance(error, CommandError) else told(error)
        return {"revocation": Finding(ERROR, message, "Nothing was measured.")}


def examine(
    look: Callable[[], Finding],
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
    *,
    is_behind: bool = False,
) -> Finding:
    """Return what a check finds within `around`. A check that raises is an error too.

    But if the database `is_behind` the migrations, no check can read what they have yet to make.
    """
    try:
        with deadline(LOOK), around():
            return look()
    except Exception as error:
        if getattr(error.__cause__, "sqlstate", "") == QUERY_CANCELED:
            return TOO_SLOW
        if is_behind and database.lacks_what_is_read(error):
            return NOT_MIGRATED
        return Finding(ERROR, told(error))
