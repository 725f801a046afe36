from django.conf import settings
from django.core.cache import cache

from config.doctor.findings import ERROR, OK, Finding


def server() -> Finding:
    if not settings.CACHES["default"]["BACKEND"].endswith("RedisCache"):
        return Finding(OK, "None is configured, none is needed.")
    try:
        cache.get("doctor")
    except Exception as error:
        # The error's text is left out, because it may repeat the URL with its password.
        message = f"It does not answer ({type(error).__name__})."
        is_missing = isinstance(error, ImportError)
        hint = "Install the package redis." if is_missing else "See REDIS_URL."
        return Finding(ERROR, message, hint)
    return Finding(OK, "It answers.")
