"""What a mail says. Subject, text and HTML are written from a kind and facts when it is sent.

The kind names a template, `mail/<kind>.txt`. Facts are plain values that JSON can hold, without
links, tokens and email addresses. Links are made here, at the time of sending. So a stored mail
gives nobody access.

Names of devices, programs and accounts may be words of a stranger. They stand in the table of a
mail, and no mail program makes a link of them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.dateformat import format as format_date

from accounts.models import User

Facts = dict[str, Any]
Row = tuple[str, str]  # a label and a text
LINK_WAITS = timedelta(days=1)  # NIST SP 800-63B lets a mailed code be used for a day

# A mark that makes a link of the words around it: example.org, https://, ana@example.org. The dot
# of 2.0 does not. The three marks in hexadecimal are dots too, where a domain is read.
LINKING = re.compile(r"(?<=\S)([:@\u3002\uff0e\uff61](?=\S)|\.(?=[^\s\d]))")


class Overtaken(Exception):
    """The mail must not be sent, for example because its link would be wrong by now."""


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail that is not written yet: its kind, the person of now, the address, and the facts.

    `username`, `state` and `happened_at` are of the moment of the event.
    """

    kind: str
    user: User
    username: str
    to: str
    facts: Facts
    state: bytes
    happened_at: datetime

    def is_overtaken(self) -> bool:
        """Whether password or address changed since, the account was deactivated, or a day passed.

        A link that is made now would count all the same, although it was asked for before that.
        """
        is_late = timezone.now() - self.happened_at > LINK_WAITS
        return is_late or not self.user.is_active or self.state != state_of(self.user)


@dataclass(frozen=True)
class Letter:
    subject: str
    text: str
    html: str


# The path of the one link of a mail, by kind: "" for a mail without one. Each app adds its kinds.
paths: dict[str, Callable[[Mail], str]] = {}


def write(mail: Mail, more: str = "") -> Letter:
    """Write the mail in both forms, with one more paragraph if `more` is given."""
    path = paths[mail.kind](mail)
    context = {
        "username": unlinked(mail.username),
        "facts": mail.facts,
        "groups": groups_of(mail.facts),
        "more": more,
        "url": path and settings.SITE_URL + path,
        "site_url": settings.SITE_URL,
        "support_contact": settings.SUPPORT_CONTACT,
    }
    context["subject"] = subject = _render(mail.kind, "subject.txt", context)
    text = re.sub(r"\n{3,}", "\n\n", _render(mail.kind, "base.txt", context))
    return Letter(f"Guestlist: {subject}", f"{text}\n", _render(mail.kind, "base.html", context))


def state_of(user: User) -> bytes:
    """The HMAC of the last changes of password and address, and of the address."""
    moments = (user.password_changed_at, user.email_verified_at)
    value = f"{[moment and moment.timestamp() for moment in moments]} {user.email}"
    return salted_hmac("accounts.letters.state", value, algorithm="sha256").digest()


def unlinked(text: str) -> str:
    """The text with a space before each mark that would make a link: "www .evil .example".

    All its characters stay visible, and a reader who needs the text knows it by them. Characters of
    no width would do it unseen, but people copy them, and filters take them for spam.
    """
    return LINKING.sub(r" \1", text)


def masked(email: str) -> str:
    """What a mail shows of an address that a stranger may have chosen: "n•••@e•••".

    The owner recognises an address of their own. Nobody can write to the other one.
    """
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}•••@{domain[:1]}•••"


def by_staff(user: User | None = None) -> Facts:
    """The facts of an act of staff. Their name is on the person's pages too."""
    return {"by": f"our staff ({user.get_username()})" if user else "our staff"}


def groups_of(facts: Facts) -> list[list[Row]]:
    """The table of a mail: the rows of each device, then those of the event.

    The rows of a single device and its event are one group.
    """
    devices = [list(_rows_of(device)) for device in facts.get("devices", [])]
    event = [(label, show(facts[name])) for name, (label, show) in ROWS.items() if name in facts]
    if len(devices) > 1:
        return [*devices, event]
    return [[row for rows in (*devices, event) for row in rows]]


def _rows_of(device: Facts) -> Iterator[Row]:
    """The rows of a device, or of a program of which less is known."""
    if "client" in device:
        name = f", named “{unlinked(device['name'])}”" if device.get("name") else ""
        yield "Device", f"{unlinked(device['client'])}{name}"
    if "seen" in device:
        yield "Last seen", f"{_in_utc(device['seen'])}, {_where(device)}"
    else:
        yield "Where", _where(device)


def _where(side: Facts) -> str:
    place, address = unlinked(side["place"]), side["address"] or "unknown address"
    return f"{place} ({address})" if place else address


def _side(side: Facts) -> str:
    """A program that used the credential of a device, where it was, and when."""
    when = f", {_in_utc(side['at'])}" if "at" in side else ""
    return f"{unlinked(side['client'])}, {_where(side)}{when}"


def _in_utc(time: str) -> str:
    return f"{format_date(datetime.fromisoformat(time).astimezone(UTC), 'j F Y, H:i')} UTC"


def _quoted(text: str) -> str:
    return f"“{text}”"


def _render(kind: str, layout: str, context: Facts) -> str:
    context = {**context, "layout": f"mail/{layout}"}
    return str(render_to_string(f"mail/{kind}.txt", context)).strip()


# The facts of an event that are shown, in the order of the rows: a label, and how it is shown.
ROWS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "more": ("And", "{} more".format),
    "wrong": ("Wrong passwords before", str),
    "first": ("Used first", _side),
    "again": ("Used again", _side),
    "other": ("Used by", _side),
    "account": ("Account", unlinked),
    "former_username": ("Former username", unlinked),
    "username": ("New username", unlinked),
    "email": ("New email address", str),
    "passkey": ("Passkey", unlinked),
    "left": ("Recovery codes left", str),
    "at": ("When", _in_utc),
    "by": ("By", unlinked),
    "note": ("Note", _quoted),
}
