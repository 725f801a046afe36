"""Columns and fields of the admin that show a time."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin

from accounts.templatetags.times import exact


def moment(name: str, title: str) -> Callable[[Any], str]:
    """A column or read-only field for the time `name` of a row."""

    @admin.display(description=title, ordering=name)
    def show(row: Any) -> str:
        return exact(getattr(row, name))

    show.__name__ = name  # Django makes a CSS class of it
    return show
