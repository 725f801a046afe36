"""People who go on while a site is broken, and a ledger of what they were answered.

They keep the rules of docs/api.md: without an answer, or after a 503, the same is sent again.
"""

import json
import random
import secrets
import threading
import time
from collections import Counter
from contextlib import contextmanager

ROTATORS, MOVERS, CHANGERS = 6, 3, 2
PASSWORD = "four quiet herons at dawn"
ADD_PEOPLE = f"""
from accounts.models import User
for name, count in {{"rotator": {ROTATORS}, "mover": {MOVERS}, "changer": {CHANGERS}}}.items():
    for number in range(count):
        username = f"{{name}}{{number}}"
        User.objects.create_user(username, f"{{username}}@example.org", "{PASSWORD}")
"""
# People sign in and guess their passwords more often here than people do.
LIMITS = {
    "LOGIN_ATTEMPTS": "100",
    "LOGIN_ATTEMPTS_PER_ACCOUNT": "100",
    "LOGIN_ATTEMPTS_PER_ADDRESS": "10000",
    "MAX_DEVICES_PER_USER": "1000",
    "ACCESS_TOKEN_LIFETIME": "900",
}
SIGN_INS = 55  # of an account in an hour; the site allows 60


class People:
    """`servers` are those of a site. Each request goes to one of them at random."""

    def __init__(self, *servers, rest=0.2):
        self.servers, self.rest = servers, rest
        self.answers = Counter()  # by status
        self.faults = []  # what no honest client may be answered
        self.live, self.ended, self.passwords = {}, {}, {}
        self.rotated = 0
        self.slowest = 0.0
        self.stopping = threading.Event()

    @contextmanager
    def running(self):
        """They work during the block. All of them have begun when it begins."""
        pairs = [self.sign_in(f"rotator{number}") for number in range(ROTATORS)]
        threads = [threading.Thread(target=self._rotate, args=[pair]) for pair in pairs]
        for count, name, work in (
            (MOVERS, "mover", self._move),
            (CHANGERS, "changer", self._change),
        ):
            threads += [threading.Thread(target=work, args=[f"{name}{n}"]) for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()
        self.live |= {pair["access_token"]: "rotated" for pair in pairs}

    def ask(self, *args, **kwargs):
        """The final answer, after as many attempts as it takes. Its content is JSON."""
        began = time.monotonic()
        while True:
            status, content = self.ask_once(*args, **kwargs)
            if status not in (None, 503):
                self.slowest = max(self.slowest, time.monotonic() - began)
                return status, content
            time.sleep(0.3)

    def ask_once(self, *args, **kwargs):
        status, _, body = random.choice(self.servers).ask(*args, **kwargs)
        self.answers[status] += 1
        if status is not None and status >= 500 and status != 503:
            self.faults.append((args[:2], status, body[:300]))
        try:
            return status, json.loads(body or "null")
        except ValueError:
            return status, {}

    def expect(self, statuses, status, content, what):
        if status not in statuses:
            self.faults.append((what, status, content))
        return status in statuses

    def sign_in(self, username, password=PASSWORD):
        body = {"username": username, "password": password}
        status, pair = self.ask("POST", "/api/v1/login", body=body)
        return pair if self.expect({200}, status, pair, f"sign in {username}") else None

    def _rotate(self, pair):
        """Use a device, and refresh it, each time with a key that is kept until the answer."""
        while not self.stopping.is_set():
            if random.random() < 0.4:
                body, key = {"refresh_token": pair["refresh_token"]}, secrets.token_hex(16)
                status, new = self.ask("POST", "/api/v1/refresh", body=body, Idempotency_Key=key)
                if not self.expect({200}, status, new, "refresh"):
                    return
                pair.update(new)
                self.rotated += 1
            status, content = self.ask("GET", "/api/v1/me", pair["access_token"])
            self.expect({200}, status, content, "use")
            time.sleep(self.rest * random.random())

    def _move(self, username):
        """Sign in again and again, and end most of these devices."""
        for number in range(SIGN_INS):
            if self.stopping.is_set() or not (pair := self.sign_in(username)):
                return
            token = pair["access_token"]
            if number % 4 == 3:
                self.live[token] = username
            else:
                # 401: the one before, which had no answer, has ended it.
                status, content = self.ask("POST", "/api/v1/logout", token, {})
                if self.expect({200, 204, 401}, status, content, "logout"):
                    self.ended[token] = username
            time.sleep(self.rest)

    def _change(self, username):
        """Change the password again and again. Without an answer, find out which one holds."""
        password = self.passwords[username] = PASSWORD
        for number in range(SIGN_INS):
            pair = self.sign_in(username, password)
            if self.stopping.is_set() or pair is None:
                return
            new = f"{PASSWORD} number {number} {secrets.token_hex(4)}"
            body = {"current_password": password, "new_password": new}
            status, content = self.ask_once("POST", "/api/v1/password", pair["access_token"], body)
            if status == 200:
                password = self.passwords[username] = new
                self.ended[pair["access_token"]] = username
            elif self.expect({None, 503}, status, content, "password"):
                answer, _ = self.ask(
                    "POST", "/api/v1/login", body={"username": username, "password": new}
                )
                if answer == 200:
                    password = self.passwords[username] = new
            time.sleep(self.rest)

    def check(self):
        """What was answered holds."""
        assert self.faults == []
        lost = [who for token, who in self.live.items() if self._use(token) != (200, None)]
        alive = [who for token, who in self.ended.items() if self._use(token)[0] != 401]
        assert (lost, alive) == ([], [])
        for username, password in self.passwords.items():
            assert self.sign_in(username, password), "a password change that was answered is lost"
        assert self.faults == []

    def _use(self, token):
        status, content = self.ask("GET", "/api/v1/me", token)
        return status, None if status == 200 else content["code"]

    def tell(self, logger, what):
        logger.info(
            "%s: %d answers (%s); %d refreshes, %d devices ended and %d left, %d passwords changed;"
            " nobody signed out, no revoked device alive; the longest wait with repeats %.0f s",
            *(what, self.answers.total(), dict(self.answers), self.rotated),
            *(len(self.ended), len(self.live), len(self.passwords), self.slowest),
        )
