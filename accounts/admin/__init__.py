from accounts.admin import audit, roles, site, throttles, users  # noqa: F401
