"""The processes of a race: `python -m tests.site.racer FD FD ...`, one for each socket given.

Each is a whole Django that is told on its socket what to do, and when. A line in is a JSON object,
`{"at": nanoseconds, "calls": [...], "at_once": false}`; a line out the list of what was answered,
with the time that each call took, on the clock that all processes of a machine share. A call is
the name of a function below and its arguments.
"""

import json
import logging
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module

import django
from django.conf import settings


def set_up():
    """Django on the database that the tests run on, with the cheap hashes that they use."""
    settings.DATABASES["default"]["NAME"] = os.environ["RACE_DATABASE"]
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    settings.WHITENOISE_AUTOREFRESH = settings.WHITENOISE_USE_FINDERS = True
    django.setup()

    from django.test.utils import setup_test_environment

    from accounts import hashers
    from accounts.throttling import counting

    import_module(settings.ROOT_URLCONF)
    setup_test_environment()
    logging.disable(logging.WARNING)
    hashers.Argon2PasswordHasher.memory_cost, hashers.Argon2PasswordHasher.time_cost = 64, 1
    # A busy machine takes long over a race; who wins it is the question, not when.
    hashers.MAX_WAIT, counting.MAX_TEST_TIME = 60, timedelta(minutes=1)


def post(path, body=None, **how):
    return send("post", path, body or {}, **how)


def send(method, path, body=None, *, token=None, address="127.0.0.1"):
    """One request through the whole stack."""
    from django.test import Client

    headers = {"authorization": f"Bearer {token}"} if token else {}
    client = Client(raise_request_exception=False, headers=headers, REMOTE_ADDR=address)
    start = time.monotonic_ns()
    answer = getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")
    end = time.monotonic_ns()
    body = json.loads(answer.content) if answer.content else None
    yield {"start": start, "end": end, "status": answer.status_code, "body": body}


def submit(path, fields, *, cookie, address):
    """One form of a page, sent by the browser that has this session, where staff need a passkey.

    Answers the text of the page, or where it leads.
    """
    from django.test import Client, override_settings

    client = Client(raise_request_exception=False, REMOTE_ADDR=address)
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    with override_settings(STAFF_NEEDS_PASSKEY=True):
        start = time.monotonic_ns()
        answer = client.post(path, fields)
        end = time.monotonic_ns()
    told = answer.headers.get("Location") or answer.content.decode()
    yield {"start": start, "end": end, "status": answer.status_code, "body": told}


def reset_passkeys(user):
    from accounts.models import User
    from tokens import flows

    start = time.monotonic_ns()
    removed = flows.reset_passkeys(User.objects.get(pk=user), by=None)
    yield {"start": start, "end": time.monotonic_ns(), "status": 200, "body": removed}


def refresh(token, *, times=1, uses=False):
    """Refresh, use what that answered, and so on, until refused."""
    for _ in range(times):
        [answer] = post("refresh", {"refresh_token": token})
        yield answer
        if answer["status"] != 200:
            return
        token = answer["body"]["refresh_token"]
        if uses:
            yield from send("get", "me", token=answer["body"]["access_token"])


def deactivate(user):
    from accounts.models import User

    start = time.monotonic_ns()
    updated = User.objects.filter(pk=user).update(is_active=False)
    yield {"start": start, "end": time.monotonic_ns(), "status": 200, "body": updated}


def describe():
    """Which database this process is on, and how."""
    from django.db import connection

    with connection.cursor() as cursor:
        sqlite = connection.vendor == "sqlite"
        cursor.execute("PRAGMA journal_mode" if sqlite else "SHOW transaction_isolation")
        [mode] = cursor.fetchone()
    yield {"vendor": connection.vendor, "mode": mode, "name": connection.settings_dict["NAME"]}


CALLS = {
    call.__name__: call
    for call in (post, send, submit, reset_passkeys, refresh, deactivate, describe)
}


def answer(call):
    return list(CALLS[call["call"]](*call["args"], **call["kwargs"]))


def answer_in_thread(call):
    """As `answer`, on a database connection of its own."""
    from django.db import connections

    try:
        return answer(call)
    finally:
        connections.close_all()


def run(command):
    from django.contrib.contenttypes.models import ContentType

    ContentType.objects.clear_cache()  # each test has content types of its own
    delay = command["at"] - time.monotonic_ns()
    time.sleep(max(0, delay / 1e9))
    if not command["at_once"]:
        return [found for call in command["calls"] for found in answer(call)]
    with ThreadPoolExecutor(len(command["calls"])) as threads:
        answers = threads.map(answer_in_thread, command["calls"])
        return [found for each in answers for found in each]


def serve(descriptor):
    from django.db import connections

    with socket.socket(fileno=descriptor) as end, end.makefile("rw") as lines:
        for line in lines:
            lines.write(json.dumps(run(json.loads(line))) + "\n")
            lines.flush()
    connections.close_all()


def main(descriptors):
    """Set Django up once, then fork: no connection to the database is open by then."""
    set_up()
    children = []
    for descriptor in descriptors:
        child = os.fork()
        if not child:
            for other in set(descriptors) - {descriptor}:
                os.close(other)
            return serve(descriptor)
        children.append(child)
    for descriptor in descriptors:
        os.close(descriptor)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main([int(descriptor) for descriptor in sys.argv[1:]]))
