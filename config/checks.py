"""System checks of the site, and the run of the project's checks when a server starts.

They read settings alone. So an outage of another part, such as the database, stops no start.
"""

import logging
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from config.databases import OUR_POSTGRESQL
from config.environment import is_loopback

logger = logging.getLogger(__name__)
OURS = ("accounts.", "config.", "tokens.")  # prefixes of the ids of the project's checks
CLIENT_ADDRESS = "config.middleware.ClientAddressMiddleware"


@register()
def check_transactions(app_configs, **kwargs):
    """Refuse ATOMIC_REQUESTS. With it a refusal would roll back what it recorded, such as a count.

    It would also hold locks while a password is being hashed.
    """
    return [
        Error(
            f"ATOMIC_REQUESTS is on for the database {alias!r}.",
            hint="Take it out of DATABASES. The flows open the transactions that they need.",
            id="config.E001",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ATOMIC_REQUESTS")
    ]


@register()
def check_client_address(app_configs, **kwargs):
    """Refuse a middleware that would see, count or log an address that the client made up."""
    if settings.MIDDLEWARE[:1] == [CLIENT_ADDRESS]:
        return []
    return [
        Error(
            "MIDDLEWARE must begin with ClientAddressMiddleware.",
            hint=f"Put {CLIENT_ADDRESS} first. It believes the headers of TRUSTED_PROXIES alone.",
            id="config.E002",
        )
    ]


@register()
def check_pooler(app_configs, **kwargs):
    """Refuse what a pooler drops, and what it would give to other clients."""
    pooler, database = settings.DATABASE_POOLER, settings.DATABASES["default"]
    if pooler == "none":
        return []
    options = database.get("OPTIONS", {})
    refused = {
        "a database without a pooler, SQLite": database["ENGINE"] != OUR_POSTGRESQL,
        "PGOPTIONS, which a pooler drops": os.environ.get("PGOPTIONS"),
        "options in DATABASE_URL, which a pooler drops": "options" in options,
        "assume_role in DATABASE_URL, which other clients would get": pooler == "transaction"
        and "assume_role" in options,
    }
    return [
        Error(
            f"DATABASE_POOLER is {pooler}, and there is {what}.",
            hint="Unset one of the two. In PostgreSQL a role can have parameters (ALTER ROLE).",
            id="config.E003",
        )
        for what, is_there in refused.items()
        if is_there
    ]


@register()
def check_origins(app_configs, **kwargs):
    """Warn of hosts and origins that are unsafe on most sites, and right on some."""
    http = [one for one in settings.CORS_ALLOWED_ORIGINS if _is_plain_http(one)]
    wild = [one for one in settings.CSRF_TRUSTED_ORIGINS if "*" in one]
    unsafe = {
        "config.W001": (
            "*" in settings.ALLOWED_HOSTS,
            "ALLOWED_HOSTS allows every host.",
            "Name the hosts of this site. Otherwise the proxy in front must check the host.",
        ),
        "config.W002": (
            getattr(settings, "CORS_ALLOW_ALL_ORIGINS", False),
            "CORS_ALLOWED_ORIGINS opens the API to the scripts of every site.",
            "Name the origins of your clients.",
        ),
        "config.W003": (
            http,
            f"CORS_ALLOWED_ORIGINS holds plain http: {', '.join(http)}.",
            "Use https. Whoever is on the wire can change the scripts of an http page.",
        ),
        "config.W004": (
            wild,
            f"CSRF_TRUSTED_ORIGINS trusts every subdomain: {', '.join(wild)}.",
            "Name the origins, if a subdomain is not yours alone.",
        ),
    }
    return _warnings(unsafe)


@register()
def check_deployment(app_configs, **kwargs):
    """Warn of what belongs on the machine of a developer."""
    secure = settings.SECURE_SSL_REDIRECT and settings.SESSION_COOKIE_SECURE
    unsafe = {
        "config.W005": (
            settings.DEBUG and not all(map(_is_here, settings.DATABASES.values())),
            "DEBUG is on, and DATABASE_URL names the database of another host.",
            "DEBUG shows settings and data to strangers. Turn it off, or use a database of here.",
        ),
        "config.W006": (
            not settings.DEBUG and not secure,
            "SECURE_SSL_REDIRECT or SESSION_COOKIE_SECURE is off.",
            "Turn both on. If a proxy ends TLS, name it in TRUSTED_PROXIES.",
        ),
        "config.W007": (
            not settings.DEBUG and settings.EMAIL_BACKEND.endswith(".ConsoleBackend"),
            "EMAIL_URL prints mails, with their links, and sends none.",
            "Name a mail server: submission://user:password@host:587",
        ),
        "config.W008": (
            not settings.DEBUG and is_loopback(urlsplit(settings.SITE_URL).hostname or ""),
            "SITE_URL is an address of this machine, so links in mails lead nowhere.",
            "Name the address that people use: https://example.org",
        ),
    }
    return _warnings(unsafe)


def check_at_start() -> None:
    """Run the project's checks. Raise ImproperlyConfigured on an error, and log each warning.

    Called when the WSGI or ASGI application is made, because servers run no checks by themselves.
    What SILENCED_SYSTEM_CHECKS silences stays silent; that it does so is logged.
    """
    found = [message for message in checks.run_checks() if (message.id or "").startswith(OURS)]
    heard = [message for message in found if not message.is_silenced()]
    if errors := [str(message) for message in heard if message.is_serious()]:
        raise ImproperlyConfigured("\n".join(errors))
    for message in found:
        told = {"check": message.id, "what": message.msg}
        if message.is_silenced():
            logger.warning("check silenced", extra=told)
        else:
            logger.warning("unsafe configuration", extra=told)


def _is_plain_http(origin: str) -> bool:
    url = urlsplit(origin)
    return url.scheme == "http" and not is_loopback(url.hostname or "")


def _is_here(database: dict) -> bool:
    """Whether a database is a file, or each of its hosts a Unix socket or a loopback address."""
    hosts = str(database.get("HOST") or database.get("OPTIONS", {}).get("host") or "")
    return all(not host or host.startswith("/") or is_loopback(host) for host in hosts.split(","))


def _warnings(unsafe: Mapping[str, tuple[object, str, str]]) -> list[Warning]:
    """A warning for each id whose condition, the first of its values, holds."""
    return [
        Warning(message, hint=hint, id=id)
        for id, (is_unsafe, message, hint) in unsafe.items()
        if is_unsafe
    ]
