#!/usr/bin/env python
import io
import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command. If it asks, and standard input has ended, say so in one sentence.

    What a terminal cannot show is escaped. A command whose reader has gone ends, and so does one
    that is interrupted with Ctrl-C.
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
    except BrokenPipeError:  # as `head` leaves it; Python would write a traceback when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says it
    except EOFError:
        sys.exit("The command asked for an answer, but standard input has ended.")


if __name__ == "__main__":
    main()
