from datetime import UTC, datetime, timedelta
from pathlib import Path

import maxminddb
from django.conf import settings

from config.doctor.findings import ERROR, OK, WARNING, Finding
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


def static_files() -> Finding:
    if settings.DEBUG:
        return Finding(OK, "Not needed with DEBUG.")
    if not Path(settings.STATIC_ROOT, "staticfiles.json").is_file():
        return Finding(ERROR, "They are not collected.", "Run collectstatic.")
    return Finding(OK, "They are collected.")
