"""Times on the pages of the admin are written as Django's own formats write them."""

from datetime import UTC, datetime

import pytest
from django.utils.dateformat import format as format_time

from accounts.templatetags.times import clock, exact, time_tag


@pytest.mark.parametrize(
    "time",
    [
        *(datetime(2026, month, 9, 8, 7, 6, 5, tzinfo=UTC) for month in range(1, 13)),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 2, 29, 0, 0, 0, tzinfo=UTC),
    ],
)
def test_time_is_written_as_by_django(time):
    attributes = f'datetime="{time.isoformat()}" title="{format_time(time, "j M Y, H:i:s")} UTC"'
    assert exact(time) == f"<time {attributes}>{format_time(time, 'j M Y, H:i')}</time>"
    assert clock(time) == f'<time {attributes} class="clock">{format_time(time, "H:i")}</time>'
    assert time_tag(time, "<now>") == f"<time {attributes}>&lt;now&gt;</time>"
