"""A flood of requests is no flood of log."""

import logging

import pytest

from config import logs


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is the time in seconds, by the clock of the filter."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    monkeypatch.setattr(logs, "time", Clock())
    return logs.time


def line(name="config.errors", words="unavailable", **extra):
    record = logging.LogRecord(name, logging.ERROR, "", 0, words, (), None)
    vars(record).update(extra)
    return record


def test_ten_lines_a_minute_and_the_next_says_how_many_were_left_out(clock):
    kept = logs.SparingFilter().filter
    assert [kept(line()) for _ in range(13)] == [True] * 10 + [False] * 3
    assert kept(line("django.security.DisallowedHost", "x"))
    clock.now = 60
    first, second = line(), line()
    assert kept(first)
    assert kept(second)
    assert first.left_out == 3
    assert not hasattr(second, "left_out")


def test_security_log_is_complete(clock):
    kept = logs.SparingFilter().filter
    assert all(kept(line("accounts.backends", "login refused")) for _ in range(100))


def test_django_says_of_a_503_what_the_project_has_said(clock):
    kept = logs.SparingFilter().filter
    assert not kept(line("django.request", "Service Unavailable", status_code=503))
    assert kept(line("django.request", "Internal Server Error", status_code=500))


def test_line_is_short_and_has_no_traceback(clock):
    record = line("django.security.DisallowedHost", "Invalid HTTP_HOST header: " + "x" * 2000)
    error = ValueError("x" * 2000)
    record.exc_info = (ValueError, error, None)
    assert logs.SparingFilter().filter(record)
    assert len(logs.JSONFormatter().format(record)) < 500
    assert record.error == "ValueError"
