import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import maxminddb
from django.conf import settings
from django.db import connection

from config.doctor.findings import OK, WARNING, Finding
from tokens.places import COUNTRY_FILE

MAX_PLACES_AGE = timedelta(days=365)


def places() -> Finding:
    path = settings.GEOIP_PATH or str(COUNTRY_FILE)
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
            built = datetime.fromtimestamp(reader.metadata().build_epoch, UTC)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return Finding(WARNING, f"{path} cannot be read: no places.", "See GEOIP_PATH.")
    message = f"The file of places is of {built.date()}."
    if datetime.now(UTC) - built > MAX_PLACES_AGE:
        return Finding(WARNING, message, "Get a newer one and set GEOIP_PATH.")
    return Finding(OK, message)


def secret_files() -> Finding:
    """Files with secrets that every user of this machine may read."""
    paths = [settings.JWT_SIGNING_KEYS_FILE, _database_file()]
    found = [str(path) for path in paths if path and is_open(path)]
    if not found or settings.DEBUG:
        return Finding(OK, "No other user of this machine can read one.")
    hint = f"Take it from them: chmod o= {' '.join(found)}"
    return Finding(WARNING, f"Every user of this machine may read {' and '.join(found)}.", hint)


def is_open(path: Path) -> bool:
    """Whether others may read or write the file, and reach it through all its folders."""
    try:
        path = path.resolve()
        can_reach = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        return can_reach and bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def _database_file() -> Path | None:
    return Path(connection.settings_dict["NAME"]) if connection.vendor == "sqlite" else None
