from tokens.admin import devices, throttles, users  # noqa: F401
