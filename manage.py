#!/usr/bin/env python
import io
import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command. If it asks, and standard input has ended, say so in one sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.stdin is None:  # closed
        sys.stdin = io.TextIOWrapper(io.BytesIO())
    try:
        execute_from_command_line(sys.argv)
    except EOFError:
        sys.exit("The command asked for an answer, but standard input has ended.")


if __name__ == "__main__":
    main()
