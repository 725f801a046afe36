"""Where processes that tests start find the site and the database of the run."""

from pathlib import Path
from urllib.parse import quote

from django.db import connection

BASE_DIR = Path(__file__).resolve().parents[2]


def database_url():
    """The database of this run, for a process of its own."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    user = f"{quote(values['USER'])}:{quote(values['PASSWORD'])}"
    host = quote(values["HOST"], safe="")
    return f"postgres://{user}@{host}:{values['PORT'] or 5432}/{values['NAME']}"
