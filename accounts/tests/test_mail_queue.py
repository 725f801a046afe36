"""The queue of mails: what waits in it, who sends it, and what becomes of a mail that cannot go."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import QueuedMail

pytestmark = pytest.mark.django_db


def queue(**values):
    return QueuedMail.objects.create(kind="revoked", username="alice", **values)


def test_figures_of_an_empty_queue():
    assert QueuedMail.objects.figures() == {"waiting": 0, "given_up": 0, "oldest": 0.0}


def test_figures_count_what_waits_and_what_was_given_up(django_assert_num_queries):
    queue(not_before=Now() + timedelta(hours=1))
    queue(not_before=Now() - timedelta(minutes=5))
    queue(not_before=Now() - timedelta(days=1), given_up_at=Now())

    with django_assert_num_queries(1):
        figures = QueuedMail.objects.figures()

    assert (figures["waiting"], figures["given_up"]) == (2, 1)
    assert figures["oldest"] >= 300


def test_figures_of_mails_that_are_not_due_yet():
    queue(not_before=Now() + timedelta(hours=1))

    assert QueuedMail.objects.figures() == {"waiting": 1, "given_up": 0, "oldest": 0.0}
