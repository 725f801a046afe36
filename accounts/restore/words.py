"""The last words of the log on accounts and roles: what they had, and what they lost.

The lines are those of `accounts.log`, in the order of their times. The last word on each thing
counts, so it makes no difference whether a line comes twice.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.log import TELLING
from accounts.log import logger as writer
from accounts.models import Role, User
from accounts.restore.files import Line, Reading

MAX_KEY = 1 << 53
FLAGS = ("is_active", "is_staff", "is_superuser")


@dataclass
class Account:
    """The last words of the log on an account: each with its time."""

    columns: dict[str, tuple[datetime, Any]] = field(default_factory=dict)
    roles: dict[int, tuple[datetime, bool]] = field(default_factory=dict)
    permissions: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    deleted_at: datetime | None = None


@dataclass
class RoleWords:
    """The last words of the log on a role, and the names that it had."""

    names: list[str] = field(default_factory=list)
    permissions: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    is_deleted: bool = False


@dataclass
class Words:
    """The last words of the log. `top` are the highest ids of users and roles in it."""

    accounts: dict[int, Account] = field(default_factory=lambda: defaultdict(Account))
    roles: dict[int, RoleWords] = field(default_factory=lambda: defaultdict(RoleWords))
    passkeys: set[UUID] = field(default_factory=set)  # that were removed
    codes: set[int] = field(default_factory=set)  # users whose recovery codes were used or made
    top: dict[type, int] = field(default_factory=lambda: {User: 0, Role: 0})


def words_of(lines: Iterable[Line], reading: Reading) -> Words:
    """The last words of these lines. A line that makes no sense is noted in `reading`."""
    words = Words()
    told = [line for line in lines if line[2]["logger"] == writer.name]
    for time, place, line in sorted(told, key=lambda line: line[0]):
        try:
            _hear(words, time, line)
        except (KeyError, TypeError, ValueError):
            reading.unreadable.append(place)
    return words


def _hear(words: Words, time: datetime, line: dict[str, Any]) -> None:
    """Take in one line. Raise KeyError, TypeError or ValueError if it makes no sense."""
    event = line["event"]
    if event in ("account changed", "password changed"):
        _hear_columns(words, time, line)
    elif event == "rights changed":
        _hear_rights(words, time, line)
    elif event == "account created":  # what was said before is about an account that is gone
        words.accounts.pop(_key(words, User, line["user"]), None)
    elif event == "account deleted":
        words.accounts[_key(words, User, line["user"])].deleted_at = time
    elif event == "role created":
        words.roles[_key(words, Role, line["role"])] = RoleWords([line["role_name"]])
    elif event == "role renamed":
        names = words.roles[_key(words, Role, line["role"])].names
        names += [line["former_name"], line["role_name"]]
    elif event == "role deleted":
        words.roles[_key(words, Role, line["role"])].is_deleted = True
    elif event == "passkey removed":
        words.passkeys.add(UUID(str(line["passkey"])))
    elif event == "recovery codes changed":
        words.codes.add(_key(words, User, line["user"]))
    else:
        raise ValueError


def _hear_columns(words: Words, time: datetime, line: dict[str, Any]) -> None:
    told = {name: _value(name, line[name]) for name in TELLING if name in line}
    for key in [line["user"]] if "user" in line else line["users"]:
        columns = words.accounts[_key(words, User, key)].columns
        columns.update((name, (time, value)) for name, value in told.items())


def _hear_rights(words: Words, time: datetime, line: dict[str, Any]) -> None:
    holds = {"add": True, "remove": False, "clear": False}[line["change"]]
    if "of_roles" in line:
        holders: Any = [words.roles[_key(words, Role, key)] for key in line["of_roles"]]
    else:
        holders = [words.accounts[_key(words, User, key)] for key in line["of_users"]]
    for holder in holders:
        if "roles" in line:
            keys = [_key(words, Role, key) for key in line["roles"]]
            holder.roles.update((key, (time, holds)) for key in keys)
        else:
            holder.permissions.update((str(label), (time, holds)) for label in line["permissions"])


def _key(words: Words, model: type, value: Any) -> int:
    if type(value) is not int or not 0 < value < MAX_KEY:
        raise ValueError
    words.top[model] = max(words.top[model], value)
    return value


def _value(name: str, value: Any) -> Any:
    if name in FLAGS:
        if type(value) is not bool:
            raise ValueError
        return value
    if value is None and name == "email_verified_at":
        return None
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError
    return time
