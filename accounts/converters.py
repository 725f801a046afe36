from django.urls import register_converter
from django.urls.converters import StringConverter

from accounts.models.users import USERNAME


class UsernameConverter(StringConverter):
    regex = USERNAME


register_converter(UsernameConverter, "username")
