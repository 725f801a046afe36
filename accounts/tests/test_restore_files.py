"""The log is read as collectors keep it, and nothing but a whole line of ours counts."""

import gzip
import io
import json
import logging
from datetime import UTC, datetime

import pytest

from accounts.restore import Reading, read, words_of
from config.logs import JSONFormatter

WHEN = datetime(2026, 11, 28, 12, tzinfo=UTC)


def line(event="account deleted", minute=0, logger="accounts.log", **members):
    record = logging.makeLogRecord(
        {
            "name": logger,
            "msg": event,
            "levelname": "INFO",
            "created": WHEN.timestamp() + 60 * minute,
        }
    )
    vars(record).update(members or {"user": 7})
    return JSONFormatter().format(record)


def read_text(tmp_path, text):
    path = tmp_path / "a.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reading = Reading()
    return [members for _, _, members in read([str(path)], reading)], reading


LINE = line()
KEPT_AS = {
    "as it is": LINE,
    "journalctl": f"Nov 28 12:00:00 web1 gunicorn[812]: {LINE}",
    "journalctl, precise": f"Nov 28 12:00:00.123456 web1 guestlist[812]: {LINE}",
    "journalctl, iso": f"2026-11-28T12:00:00+0000 web1 gunicorn[812]: {LINE}",
    "journalctl, full": f"Sat 2026-11-28 12:00:00 UTC web1 gunicorn[812]: {LINE}",
    "journalctl, json": json.dumps({"PRIORITY": "6", "MESSAGE": LINE, "_PID": "812"}),
    "syslog": f"<14>Nov 28 12:00:00 web1 guestlist: {LINE}",
    "syslog, rfc 5424": f"<14>1 2026-11-28T12:00:00.003Z web1 guestlist 812 - - {LINE}",
    "docker's files": json.dumps({"log": f"{LINE}\n", "stream": "stderr", "time": "2026-11-28"}),
    "docker logs": f"2026-11-28T12:00:00.123456789Z {LINE}",
    "docker compose": f"web-1  | {LINE}",
    "containerd": f"2026-11-28T12:00:00.123456789+00:00 stderr F {LINE}",
    "windows": f"{LINE}\r",
}


@pytest.mark.parametrize("kept", KEPT_AS.values(), ids=KEPT_AS.keys())
@pytest.mark.parametrize("packed", [False, True])
def test_a_line_is_read_as_collectors_keep_it(tmp_path, kept, packed):
    text = f"{kept}\n".encode()
    lines, reading = read_text(tmp_path, gzip.compress(text) if packed else text)
    assert [found["user"] for found in lines] == [7]
    assert (reading.lines, reading.others, reading.unreadable) == (1, 0, [])
    assert reading.first == reading.last == WHEN


def test_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(LINE.encode()))))
    assert len(list(read(["-"], Reading()))) == 1


# Texts of strangers that hold a line of ours, in the logs of other programs and in our own.
HOSTILE = {
    "agent in nginx's log": f'192.0.2.1 - - [28/Nov/2026] "GET / HTTP/1.1" 200 12 "-" "{LINE}"',
    "agent at the end": f"192.0.2.1 GET / {LINE}",
    "behind the prefix of another": f"Nov 28 12:00:00 web1 sshd[1]: Invalid user {LINE} from ::1",
    "user at the end": f"Nov 28 12:00:00 web1 ftpd[1]: no such user {LINE}",
    "with a colon": f"Nov 28 12:00:00 web1 ftpd[1]: user: {LINE}",
    "pipe in the text": f"GET /?a| {LINE}",
    "in a list": f"[{LINE}]",
    "in another object": json.dumps({"agent": json.loads(LINE)}),
    "in our own": line("signed in", logger="tokens.flows.log", user_agent=LINE),
    "as an event of ours": line(LINE, logger="django.request"),
    "another logger": line(logger="nginx"),
    "a logger that begins alike": line(logger="accounts.logs"),
    "twice wrapped": json.dumps({"log": json.dumps({"log": LINE})}),
    "a member twice": LINE[:-1] + ', "user": 8}',
    "two objects": f"{LINE} {LINE}",
    "no zone": LINE.replace("+00:00", ""),
    "no time": LINE.replace("2026", "twenty"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_line_in_the_text_of_a_stranger_does_nothing(tmp_path, text):
    path = tmp_path / "a.log"
    path.write_text(f"{text}\n")
    reading = Reading()
    words = words_of(read([str(path)], reading), reading)
    assert not words.accounts
    assert reading.lines + reading.others + len(reading.unreadable) == 1


@pytest.mark.parametrize(
    ("text", "unreadable"),
    [
        (LINE[:40], 1),
        (f"Nov 28 12:00:00 web1 gunicorn[812]: {LINE[:-1]}", 1),
        (LINE.encode()[:-3] + b"\xff}", 1),
        ("[2026-11-28 12:00:00 +0000] [812] [INFO] Booting worker", 0),
        ("{", 0),
        ("{" * 100_000, 0),
        ("", 0),
        ("x" * 3_000_000, 0),
        (LINE[:-1] + ', "x": "' + "y" * 3_000_000 + '"}', 1),
    ],
)
def test_what_may_be_ours_and_is_damaged_is_named(tmp_path, text, unreadable):
    _, reading = read_text(tmp_path, text)
    assert reading.unreadable == [f"{tmp_path}/a.log:1"][:unreadable]


@pytest.mark.parametrize("cut", [40, -4])
def test_a_damaged_archive_is_named_and_the_next_file_is_read(tmp_path, cut):
    packed, whole = tmp_path / "a.gz", tmp_path / "b.log"
    packed.write_bytes(
        gzip.compress(b"".join(line(minute=n).encode() + b"\n" for n in range(99)))[:cut]
    )
    whole.write_text(LINE)
    reading = Reading()
    found = [place for _, place, _ in read([str(packed), str(whole)], reading)]
    assert found[-1] == f"{whole}:1"
    assert len(reading.unreadable) == 1
    assert reading.unreadable[0].endswith("and all after it")


def test_silences_are_told_the_longest_ones(tmp_path):
    minutes = [0, 1, 62, 70, 400, 401, 500, 600]
    _, reading = read_text(tmp_path, "\n".join(line(minute=m) for m in reversed(minutes)))
    gaps = [(int((b - a).total_seconds()) // 60) for a, b in reading.silences()]
    assert gaps == [330, 99, 100]


MEANINGLESS = [
    {"event": "account deleted", "user": "7"},
    {"event": "account deleted", "user": True},
    {"event": "account deleted", "user": 0},
    {"event": "account deleted", "user": 1 << 60},
    {"event": "account deleted", "account": 7},
    {"event": "account changed", "user": 7, "is_active": "false"},
    {"event": "account changed", "users": [7, None], "is_active": False},
    {"event": "password changed", "user": 7, "password_changed_at": "yesterday"},
    {"event": "password changed", "user": 7, "password_changed_at": "2026-11-28"},
    {"event": "password changed", "user": 7, "password_changed_at": None},
    {"event": "rights changed", "of_users": [7], "change": "take", "roles": [1]},
    {"event": "rights changed", "changed": "accounts_user_roles", "of": "7", "change": "remove"},
    {"event": "something new", "user": 7},
]


@pytest.mark.parametrize("members", MEANINGLESS)
def test_a_line_that_makes_no_sense_is_named(tmp_path, members):
    path = tmp_path / "a.log"
    path.write_text(line(**members))
    reading = Reading()
    words_of(read([str(path)], reading), reading)
    assert reading.unreadable == [f"{path}:1"]


def test_the_order_of_files_makes_no_difference_and_twice_is_once(tmp_path):
    """Rotated files overlap."""
    acts = [line("account changed", n, user=7, is_active=n % 2 == 0) for n in range(4)]
    files = [tmp_path / name for name in "abc"]
    for file, kept in zip(files, (acts[2:], acts[:3], acts[1:]), strict=True):
        file.write_text("\n".join(kept))
    for order in (files, files[::-1]):
        reading = Reading()
        words = words_of(read([*map(str, order)], reading), reading)
        assert words.accounts[7].columns["is_active"][1] is False
