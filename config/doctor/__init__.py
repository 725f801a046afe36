"""What a site needs to run, examined one subject at a time. Nothing is changed, nothing is sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from config.doctor import (
    addresses,
    cache,
    configuration,
    database,
    devices,
    disk,
    files,
    keys,
    mails,
    people,
    pooling,
    static,
)
from config.doctor.findings import ERROR, WARNING, Finding, told
from config.doctor.limits import LOOK, deadline, only_reading

# In the order in which they run and are printed.
CHECKS: dict[str, Callable[[], Finding]] = {
    "database": database.answer,
    "migrations": database.migrations,
    "transactions": database.transactions,
    "clocks": database.clocks,
    "writes": database.writes,
    "disk": disk.space,
    "limits": pooling.limits,
    "pooling": pooling.prepared_statements,
    "configuration": configuration.system_checks,
    "secret files": files.secret_files,
    "signing keys": keys.signing_keys,
    "mail": mails.server,
    "mail queue": mails.queue,
    "cache": cache.server,
    "places": files.places,
    "static files": static.static_files,
    "addresses": addresses.sign_ins,
    "purge": devices.purge,
    "ended devices": devices.unmarked,
    "usernames": people.usernames,
    "passwords": people.passwords,
    "roles": people.roles,
    "superuser": people.superuser,
}
# When the database is away, these are examined all the same.
OFFLINE = {
    "database",
    "configuration",
    "secret files",
    "mail",
    "cache",
    "places",
    "static files",
}
NOT_EXAMINED = Finding(WARNING, "Not examined, because the database does not answer.")


def examine_all() -> dict[str, Finding]:
    """What each check finds, by name."""
    findings: dict[str, Finding] = {}
    for name, look in CHECKS.items():
        if name in OFFLINE:
            findings[name] = examine(look)
        elif findings["database"].level == ERROR:
            findings[name] = NOT_EXAMINED
        else:
            findings[name] = examine(look, only_reading)
    return findings


def examine(
    look: Callable[[], Finding], around: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Finding:
    """Return what a check finds within `around`. A check that raises is an error too."""
    try:
        with deadline(LOOK), around():
            return look()
    except Exception as error:
        return Finding(ERROR, told(error))
