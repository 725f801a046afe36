"""Writes a backup of the database of DATABASE_URL into a folder, and deletes the oldest ones.

python deploy/backup.py FOLDER --keep NUMBER

PostgreSQL's is a dump in pg_dump's custom format, SQLite's a copy of the file. A backup gets its
name once it is whole. Only its owner may read it.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dj_database_url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, default=14, help="so many backups (default: 14)")
    options = parser.parse_args()
    os.umask(0o077)
    database = dj_database_url.config()
    if not database:
        sys.exit("DATABASE_URL is not set.")
    is_sqlite = "sqlite" in database["ENGINE"]
    ending = "sqlite3" if is_sqlite else "dump"
    backup = options.folder / f"guestlist-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    partial = backup.with_suffix(".part")
    try:
        (copy if is_sqlite else dump)(database, partial)
        os.sync()
        partial.rename(backup)
    finally:
        partial.unlink(missing_ok=True)
    for old in sorted(options.folder.glob(f"guestlist-*.{ending}"))[: -max(options.keep, 1)]:
        old.unlink()
    sys.stdout.write(f"{backup} ({backup.stat().st_size:,} bytes)\n")


def dump(database: Mapping[str, Any], target: Path) -> None:
    """Dump it, and have the dump read once. Others can see arguments, so none is the password."""
    if os.environ.get("DATABASE_POOLER") == "transaction":  # pg_dump sets the search_path
        sys.exit(
            "pg_dump would change connections that others get. Name PostgreSQL itself in "
            "DATABASE_URL, and set DATABASE_POOLER=none."
        )
    names = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD"}
    # Several hosts may be options of the URL: ?host=a,b&port=5432,5433
    options = database.get("OPTIONS", {})
    found = {**database, **{name.upper(): value for name, value in options.items()}}
    where = {name: str(found[key]) for key, name in names.items() if found[key]}
    command = ["pg_dump", "--format=custom", f"--file={target}", database["NAME"]]
    subprocess.run(command, env=os.environ | where, check=True)
    subprocess.run(["pg_restore", "--list", target], stdout=subprocess.DEVNULL, check=True)


def copy(database: Mapping[str, Any], target: Path) -> None:
    """Copy a database that is in use. The copy is checked."""
    source = Path(database["NAME"])
    if not source.exists():
        sys.exit(f"{source} is not there.")
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
        [result] = there.execute("PRAGMA quick_check").fetchone()
    if result != "ok":
        sys.exit(f"The copy is damaged: {result}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
        sys.exit(f"No backup was made: {error}")
