from tokens.admin import devices, users  # noqa: F401
