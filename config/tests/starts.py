"""Makes the application again and again, each time in a process of its own, for the tests.

It is run as a program. Each line of its input is a JSON object of environment variables. Each line
of its output is `{"code": exit code, "error": the message of the exception, "said": standard
error}`. The processes are forked from this one, so they need not import Django again.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import corsheaders.defaults
import django.core.handlers.wsgi
import django.core.management
import django.db.models
import django.forms
import environs
import jwt
import yaml

IMPORTED = (corsheaders, django, environs, jwt, yaml)


def start(variables):
    """The code, the error and the words of one start."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as error:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            os._exit(make_application(variables, error))
        _, status = os.waitpid(child, 0)
        said.seek(0)
        error.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "error": error.read(), "said": said.read()}


def make_application(variables, error):
    os.environ.clear()
    os.environ.update(variables)
    try:
        import config.wsgi  # noqa: F401
    except BaseException as raised:
        error.write(f"{type(raised).__name__}: {raised}")
        error.flush()
        return 1
    sys.stderr.flush()
    return 0


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(start(json.loads(line))), flush=True)  # noqa: T201
