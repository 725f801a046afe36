"""A site on disk for each proof: settings, keys, database, static files. doctor runs in a process.

Each proof breaks its own copy, so it may break it for real.
"""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from tokens.keys import generate_signing_key

BASE_DIR = Path(__file__).resolve().parents[2]
SETTINGS = """
import os
from pathlib import Path

from config.settings import *

STATIC_ROOT = Path(os.environ["STATIC_FOLDER"])
"""
SUPERUSER = """
import os
from accounts.models import User
user = User.objects.create_superuser("root", "root@example.org", "four quiet herons at dawn")
user.passkeys.create(credential=os.urandom(32), public_key=b"", vouched=True)
"""


@dataclass
class Site:
    """A site in `folder`. `checkout` is the code that runs."""

    folder: Path
    database: str  # DATABASE_URL
    checkout: Path = BASE_DIR
    environment: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_sqlite(self):
        return self.database.startswith("sqlite")

    @property
    def static(self):
        return self.folder / "static"

    @property
    def keys(self):
        return self.folder / "keys.json"

    def lay_out(self):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "site_settings.py").write_text(SETTINGS)
        self.keys.touch(0o600)
        self.keys.write_text(json.dumps({"keys": [generate_signing_key()]}))
        self.environment |= {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder),
            "PYTHONWARNINGS": "ignore",
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "JWT_SIGNING_KEYS_FILE": str(self.keys),
            "SITE_URL": "https://example.org",
            "ALLOWED_HOSTS": "example.org",
            "DEFAULT_FROM_EMAIL": "Guestlist <guestlist@example.org>",
            "DATABASE_URL": self.database,
            "STATIC_FOLDER": str(self.static),
        }

    def set_up(self):
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", "-c", SUPERUSER)
        self.manage("collectstatic", "--no-input", "--verbosity", "0")

    def copy(self, folder, database):
        """This site, with everything of its own."""
        copy = Site(folder, database, self.checkout)
        copy.lay_out()
        shutil.copytree(self.static, copy.static)
        if self.is_sqlite:
            shutil.copy(self.file, copy.file)
            copy.file.chmod(0o600)
        else:
            self.server(f'CREATE DATABASE "{copy.name}" TEMPLATE "{self.name}"')
        return copy

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self.is_sqlite:
            self.server(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    @property
    def file(self):
        return Path(self.database.removeprefix("sqlite:///"))

    @property
    def name(self):
        """Of the database on the server."""
        return self.database.rpartition("/")[2].partition("?")[0]

    def url_with(self, user, host=None):
        """DATABASE_URL with another user, and perhaps another host."""
        url = urlsplit(self.database)
        return url._replace(netloc=user + (host or url.netloc.rpartition("@")[2])).geturl()

    def server(self, statement):
        """Run a statement on the server, outside the database of this site."""
        where = self.database.replace(f"/{self.name}", "/postgres")
        with psycopg.connect(make_conninfo(where), autocommit=True) as connection:
            connection.execute(statement)

    def sql(self, statement):
        """Run a statement behind the back of the project."""
        if self.is_sqlite:
            connection = sqlite3.connect(self.file)
            with connection:
                connection.execute(statement)
            connection.close()
        else:
            with psycopg.connect(self.database) as connection:
                connection.execute(statement)

    def run(self, *args, before=(), **variables):
        """manage.py with these arguments. A variable that is None is left out."""
        environment = {**self.environment, **variables}
        return subprocess.run(
            [*before, sys.executable, "manage.py", *args],
            cwd=self.checkout,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def manage(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout
