"""The rows of the list of devices, as Django renders them, which a test compares.

For each cell, Django finds out again what its column is, and renders it by itself. Here a row is
one format, made once for the list. A column is a method of the admin, or a field with choices.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.admin.templatetags.admin_list import ResultList, result_headers
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.utils.html import format_html

from tokens.models import IssuedToken

LINK = '<th class="field-{name}"><a href="{{}}">{{}}</a></th>'
CELLS = {"action_checkbox": '<td class="action-checkbox">{{}}</td>', "client": LINK}
CELL = '<td class="field-{name}">{{}}</td>'


def result_list(cl: ChangeList) -> dict[str, Any]:
    """The context of Django's template for its tag `result_list`."""
    headers = list(result_headers(cl))
    return {
        "cl": cl,
        "result_headers": headers,
        "num_sorted_fields": sum(header["sortable"] and header["sorted"] for header in headers),
        "results": [ResultList(None, [row]) for row in rows(cl)],
    }


def rows(cl: ChangeList) -> Iterator[str]:
    devices = list(cl.result_list)
    if not devices:
        return
    head, tail = _around_key(cl, devices[0])
    row = "".join(CELLS.get(name, CELL).format(name=name) for name in cl.list_display)
    shows = [_column(cl, name) for name in cl.list_display]
    at = cl.list_display.index("client")
    for device in devices:
        values = [show(device) or cl.model_admin.get_empty_value_display() for show in shows]
        yield format_html(row, *values[:at], f"{head}{device.pk}{tail}", *values[at:])


def _column(cl: ChangeList, name: str) -> Callable[[IssuedToken], str]:
    return getattr(cl.model_admin, name, None) or getattr(IssuedToken, f"get_{name}_display")


def _around_key(cl: ChangeList, device: IssuedToken) -> tuple[str, str]:
    """What stands before and after the key in the address of a device, with the filters."""
    filters = {"preserved_filters": cl.preserved_filters, "opts": cl.opts}
    url = add_preserved_filters(filters, cl.url_for_result(device))
    head, _, tail = url.partition(str(device.pk))
    return head, tail
