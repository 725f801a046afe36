import shutil
from pathlib import Path

from django.db import OperationalError, connection

from config.doctor.database import ask
from config.doctor.findings import ERROR, OK, WARNING, Finding

MIN_FREE, FEW_FREE = 20, 200  # MB


def space() -> Finding:
    """Whether the database has space."""
    return _at_the_file() if connection.vendor == "sqlite" else _at_the_server()


def _at_the_file() -> Finding:
    folder = Path(connection.settings_dict["NAME"]).parent
    free = shutil.disk_usage(folder).free // 1_000_000
    message = f"{free:,} MB are free where the database is."
    if free < FEW_FREE:
        level = ERROR if free < MIN_FREE else WARNING
        return Finding(level, message, "Make room: with a full disk nobody can sign in.")
    return Finding(OK, message)


def _at_the_server() -> Finding:
    """Let PostgreSQL use a temporary file of some MB. It deletes the file after the statement."""
    try:
        ask("SELECT set_config('work_mem', '64kB', true)")
        ask("SELECT count(*) FROM generate_series(1, 300000)")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "53100":  # disk_full
            raise
        message = "No space left on the disk of the database."
        return Finding(ERROR, message, "Make room: with a full disk nobody can sign in.")
    return Finding(OK, "The database could use a temporary file of some MB.")
