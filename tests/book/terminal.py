"""Runs a program at a terminal, and types the password whenever it asks for one.

It ends with the program, although services that the program started still have the terminal.
"""

import os
import pty
import select
import sys

PASSWORD = "four quiet herons at dawn"


def main(*words: str) -> int:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        while select.select([terminal], [], [], 0.2)[0]:
            try:
                said = os.read(terminal, 4096)
            except OSError:  # nobody has it any more
                break
            os.write(1, said)
            if said.rstrip().lower().endswith((b"password:", b"again:")):
                os.write(terminal, f"{PASSWORD}\n".encode())
        if ended:
            return os.waitstatus_to_exitcode(status)


sys.exit(main(*sys.argv[1:]))
