"""What a site needs to run, examined one subject at a time. Nothing is changed, nothing is sent."""

from collections.abc import Callable

from config.doctor import cache, configuration, database, devices, files, keys, mails, people
from config.doctor.findings import ERROR, Finding

# In the order in which they run and are printed.
CHECKS: dict[str, Callable[[], Finding]] = {
    "database": database.answer,
    "migrations": database.migrations,
    "transactions": database.transactions,
    "clocks": database.clocks,
    "configuration": configuration.system_checks,
    "signing keys": keys.signing_keys,
    "mail": mails.server,
    "cache": cache.server,
    "places": files.places,
    "static files": files.static_files,
    "purge": devices.purge,
    "usernames": people.usernames,
    "superuser": people.superuser,
}


def examine(look: Callable[[], Finding]) -> Finding:
    """Return what a check finds. A check that raises is an error too."""
    try:
        return look()
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        return Finding(ERROR, f"{type(error).__name__}: {first_line}".rstrip(": ") + ".")
