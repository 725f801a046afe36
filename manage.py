#!/usr/bin/env python
import io
import json
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, InterfaceError
from environs.exceptions import EnvError


def main() -> None:
    """Run the command. If the settings or the database cannot be used, say so in one sentence.

    What a terminal cannot show is escaped. A command whose reader has gone ends, and so does one
    that is interrupted with Ctrl-C, or that asks after standard input has ended.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.stdin is None:  # closed
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BytesIO())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is by itself
    try:
        try:
            execute_from_command_line(sys.argv)
        finally:
            sys.stdout.flush()
    except (ImproperlyConfigured, EnvError) as error:
        if settings.configured:
            raise
        refuse(str(error))
    except (DatabaseError, InterfaceError) as error:
        from config.errors import is_unavailable  # needs the settings

        if "--traceback" in sys.argv or not is_unavailable(error):
            raise
        first_line = str(error).partition("\n")[0]
        sys.exit(f"The database cannot be used: {first_line}")
    except BrokenPipeError:  # as `head` leaves it; Python would write a traceback when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says it
    except EOFError:
        sys.exit("The command asked for an answer, but standard input has ended.")


def refuse(message: str) -> None:
    """Say why the settings cannot be read, and end. To `doctor` this is its one finding."""
    hint = "See Settings in docs/operations.md. Nothing else can be examined before."
    if sys.argv[1:2] == ["doctor"]:
        message = f"{message.rstrip('. ')}."
        finding = {"check": "configuration", "level": "error", "message": message, "hint": hint}
        line = f"error    configuration: {message} {hint}"
        told = json.dumps([{**finding, "figures": {}}]) if "--json" in sys.argv else line
        sys.stdout.write(f"{told}\n")
    sys.exit(f"The settings cannot be read: {message}")


if __name__ == "__main__":
    main()
