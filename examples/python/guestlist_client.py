"""A client of Guestlist that stays signed in when answers are lost or the program crashes.

Several processes may share its tokens. Copy it. It needs httpx, and a Unix for its lock.

    client = GuestlistClient("https://guestlist.example.org", Path("guestlist.json"))
    client.log_in("alice", password, "Backup script")
    client.request("GET", "me").json()
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

REFRESH_AFTER = 0.8  # of the lifetime of an access token
RETRY_DELAYS = (0, 1, 2, 4)  # seconds before each repeat of a failed refresh

# The codes of a 401 that say that the tokens are of no use any more. A gateway on the way also
# answers with 401 when it is out of order, and then the device is still signed in.
ENDED = {
    "device_expired",
    "device_idle",
    "device_revoked",
    "password_changed",
    "refresh_invalid",
    "token_expired",
    "token_invalid",
    "user_inactive",
}

Pair = dict[str, Any]


class SignedOut(Exception):
    """This client is not signed in any more. `code` says why, in the words of the API.

    If the device was revoked, show its `reason` and `note` to the person.
    """

    def __init__(self, code: str, reason: str = "", note: str = "") -> None:
        super().__init__(code, reason, note)
        self.code, self.reason, self.note = code, reason, note


class GuestlistClient:
    """One device. Its pair of tokens is in the file at `path`, for all threads and processes.

    The file always holds the current pair, or the former pair with the `Idempotency-Key` that
    fetches the current one.
    """

    def __init__(self, site: str, path: Path) -> None:
        self.path = path
        self.http = httpx.Client(base_url=f"{site}/api/v1/")

    def log_in(self, username: str, password: str, device_name: str = "") -> None:
        """Sign in on a new device. Raise httpx.HTTPStatusError when refused."""
        body = {"username": username, "password": password, "device_name": device_name}
        answer = self.http.post("login", json=body).raise_for_status()
        with self._lock():
            self._keep(answer)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request below /api/v1/. The options are those of httpx.

        Raise SignedOut, or httpx.HTTPError when no answer of Guestlist comes. An answer of 401
        means: call `reauthenticate`, then repeat the request.
        """
        pair = self._load_in_time()
        answer = self._send(pair, method, path, **options)
        if answer.status_code != 401:
            return answer
        with self._lock():  # No other program replaces the successor meanwhile.
            successor = self._replace(pair, answer)
            return self._send(successor, method, path, **options) if successor else answer

    def reauthenticate(self, password: str) -> None:
        """Give the password again. Raise httpx.HTTPStatusError when it is wrong."""
        self._renew("reauthenticate", password=password)

    def change_password(self, current_password: str, new_password: str) -> None:
        """Change the password and end all other devices. Raise httpx.HTTPStatusError."""
        self._renew("password", current_password=current_password, new_password=new_password)

    def log_out(self) -> None:
        """End this device. If no answer comes, the pair stays, so that you can call this again."""
        with suppress(SignedOut):
            self.request("POST", "logout").raise_for_status()
        with self._lock():
            self.path.unlink(missing_ok=True)

    def _send(self, pair: Pair, method: str, path: str, **options: Any) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        headers = {**options.pop("headers", {}), **bearer}
        return self.http.request(method, path, headers=headers, **options)

    def _load_in_time(self) -> Pair:
        """The stored pair, refreshed if its access token is about to expire."""
        pair = self._load()
        if time.time() < pair["refresh_at"]:
            return pair
        with self._lock():
            pair = self._load()  # The last holder of the lock may have refreshed.
            return pair if time.time() < pair["refresh_at"] else self._refresh(pair)

    def _replace(self, refused: Pair, answer: httpx.Response) -> Pair | None:
        """The pair to repeat a refused request with. None if the caller must see the 401 itself.

        Call it with the lock. Raise SignedOut, or httpx.HTTPError if Guestlist did not refuse it.
        """
        pair = self._load()
        if pair["access_token"] != refused["access_token"]:
            return pair  # Another program replaced it, so the refusal was of a former token.
        match _read_refusal(answer).get("code"):
            case "token_expired":
                return self._refresh(pair)
            case "reauthentication_required":
                return None
        raise self._error_of(answer)

    def _refresh(self, pair: Pair) -> Pair:
        """The next pair. Call it with the lock. Raise SignedOut.

        The key is stored before it is sent. If the answer is lost or the program crashes, the same
        token and key are sent again, and the answer is the pair that was lost.
        """
        if "attempt" not in pair:
            pair = {**pair, "attempt": secrets.token_urlsafe()}
            self._save(pair)
        body = {"refresh_token": pair["refresh_token"]}
        headers = {"Idempotency-Key": pair["attempt"]}
        for delay in RETRY_DELAYS:
            with suppress(httpx.HTTPError):
                return self._keep(self.http.post("refresh", json=body, headers=headers))
            time.sleep(delay)
        return self._keep(self.http.post("refresh", json=body, headers=headers))

    def _renew(self, path: str, **body: str) -> None:
        """Ask for a new pair with a password.

        The former pair ends at once. The lock keeps other programs from refreshing it meanwhile.
        """
        with self._lock():
            pair = self._refresh(self._load())
            self._keep(self._send(pair, "POST", path, json=body))

    def _keep(self, answer: httpx.Response) -> Pair:
        """Save the pair of the answer before it is used. Call it with the lock. Raise SignedOut."""
        if not answer.is_success:
            raise self._error_of(answer)
        pair: Pair = answer.json()
        pair["refresh_at"] = time.time() + REFRESH_AFTER * pair["expires_in"]
        self._save(pair)
        return pair

    def _load(self) -> Pair:
        try:
            pair: Pair = json.loads(self.path.read_text())
        except FileNotFoundError:
            raise SignedOut("not_authenticated") from None
        return pair

    def _save(self, pair: Pair) -> None:
        """Replace the file as a whole. Only this user can read it. Call it with the lock."""
        new = f"{self.path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(pair, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def _error_of(self, answer: httpx.Response) -> SignedOut | httpx.HTTPStatusError:
        """What to raise for a refusal. If the device has ended, its pair is deleted."""
        refusal = _read_refusal(answer)
        if answer.status_code == 401 and refusal.get("code") in ENDED:
            self.path.unlink(missing_ok=True)
            return SignedOut(*(refusal.get(key, "") for key in ("code", "reason", "note")))
        problem = f"HTTP {answer.status_code}"
        return httpx.HTTPStatusError(problem, request=answer.request, response=answer)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep out all other threads and processes.

        Each call opens the file again. flock keeps out all other openings, also of this process.
        """
        with open(f"{self.path}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _read_refusal(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of a refusal. Empty if the answer is not one of Guestlist."""
    with suppress(ValueError):
        body = answer.json()
        if isinstance(body, dict) and isinstance(body.get("code"), str):
            return body
    return {}
