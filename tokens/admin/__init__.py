from tokens.admin import audit, devices, users  # noqa: F401
