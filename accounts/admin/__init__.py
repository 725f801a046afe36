from accounts.admin import audit, mails, roles, site, throttles, users  # noqa: F401
