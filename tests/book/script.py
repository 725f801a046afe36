"""Writes the shell script that types docs/operations.md: its blocks marked `sh`, in their order.

After the blocks of a heading comes what checks.sh has for it, a function such as `check_try_it`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

HEADING = re.compile(r"#+ (.+)")
BEGIN = """#!/bin/bash
set -euo pipefail
exec 3>&1 > /root/book/log 2>&1
. /root/book/checks.sh
heading() { printf '== %s (after %d s)\\n' "$1" "$SECONDS" >&3; }
check() { if declare -F "check_$1"; then "check_$1"; fi; }
failed() { tail -n 40 /root/book/log; echo "It failed in the block at line $LINE of the book."; }
trap 'failed >&3' ERR
set -o errtrace
"""


def script(book: str) -> Iterator[str]:
    yield BEGIN
    heading, has_block, fence = "", False, ""
    for number, line in enumerate(book.splitlines(), 1):
        if line.startswith("```"):
            fence = "" if fence else line
            if fence == "```sh":
                yield (
                    f"LINE={number + 1}" if has_block else f"LINE={number + 1}; heading '{heading}'"
                )
                has_block = True
        elif fence == "```sh":
            yield line
        elif not fence and (match := HEADING.fullmatch(line)):
            if has_block:
                yield f"check {word(heading)}"
            heading, has_block = match[1].replace("'", ""), False
    yield f"check {word(heading)}" if has_block else ""
    yield "heading 'The end of the book'"


def word(heading: str) -> str:
    return re.sub(r"\W+", "_", heading.lower())


if __name__ == "__main__":
    sys.stdout.write("\n".join(script(Path(sys.argv[1]).read_text("utf-8"))) + "\n")
