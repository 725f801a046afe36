"""Importing this package registers its pages in the admin."""

from tokens.admin import devices, throttles, users  # noqa: F401
