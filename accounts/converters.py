from django.urls import register_converter
from django.urls.converters import StringConverter

from accounts.models.users import USERNAME


class UsernameConverter(StringConverter):
    """A username in a URL: `<username:name>`."""

    regex = USERNAME


register_converter(UsernameConverter, "username")
