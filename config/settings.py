"""Every setting, read from the environment.

A missing or malformed variable stops the start, and the error names the variable. Nothing is open
by default: no DEBUG, no host, no built-in secret. A duration is a number of seconds in the
environment, and a `timedelta` here.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from corsheaders.defaults import default_headers

from config import environment
from config.databases import POOLERS, read_database
from config.environment import duration, env, number, words
from tokens.keys import DevelopmentKeys, read_signing_keys

BASE_DIR = Path(__file__).resolve().parent.parent
_minute, _hour, _day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# The site

DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = environment.hosts("ALLOWED_HOSTS")
SITE_URL = environment.site(
    "SITE_URL", "http://localhost:8000" if DEBUG else "", ALLOWED_HOSTS, debug=DEBUG
)
SUPPORT_CONTACT = environment.contact("SUPPORT_CONTACT")
REVOKE_REASONS = environment.reasons("REVOKE_REASONS")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

INSTALLED_APPS = [
    "config.apps.AdminConfig",
    "django.contrib.humanize",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "tokens",
    "config.apps.SiteConfig",
]

MIDDLEWARE = [
    "config.middleware.ClientAddressMiddleware",
    "config.middleware.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tokens.middleware.DeviceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.UnavailableMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context_processors.support_contact",
            ]
        },
    }
]

# Data
DATABASE_POOLER = environment.choice("DATABASE_POOLER", POOLERS)
DATABASES = {"default": read_database(f"sqlite:///{BASE_DIR / 'db.sqlite3'}", DATABASE_POOLER)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Secrets
# With DEBUG on, the first start makes keys and stores them in a file, so that devices stay signed
# in after a restart. With DEBUG off, both must be given.
_development = DevelopmentKeys(BASE_DIR / ".dev-keys.json") if DEBUG else None
SECRET_KEY = environment.secret("SECRET_KEY", _development.secret_key if _development else "")

JWT_SIGNING_KEYS_FILE = env.path("JWT_SIGNING_KEYS_FILE", None)
JWT_SIGNING_KEYS = read_signing_keys(
    env.str("JWT_SIGNING_KEYS", ""), JWT_SIGNING_KEYS_FILE, _development
)
JWT_ISSUER = environment.text("JWT_ISSUER", SITE_URL)
JWT_AUDIENCE = environment.text("JWT_AUDIENCE", SITE_URL)

# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]
PASSWORD_HASHERS = ["accounts.hashers.Argon2PasswordHasher"]
PASSWORD_MIN_LENGTH = number("PASSWORD_MIN_LENGTH", 15, minimum=8, maximum=256)
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_MIN_LENGTH},
    },
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "accounts.passwords.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.ContextValidator"},
]
PASSWORD_CONTEXT_WORDS = words("PASSWORD_CONTEXT_WORDS")
PASSKEY_ORIGINS = environment.passkey_origins("PASSKEY_ORIGINS", SITE_URL)
STAFF_NEEDS_PASSKEY = env.bool("STAFF_NEEDS_PASSKEY", not DEBUG)
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", True)
LOGIN_ATTEMPTS = number("LOGIN_ATTEMPTS", 5, maximum=100)
LOGIN_ATTEMPTS_PER_ADDRESS = number("LOGIN_ATTEMPTS_PER_ADDRESS", 50, maximum=10_000)
LOGIN_ATTEMPTS_PER_ACCOUNT = number("LOGIN_ATTEMPTS_PER_ACCOUNT", 10, maximum=100)
_waits = {"minimum": timedelta(seconds=1), "maximum": _day}
LOGIN_WINDOW = duration("LOGIN_WINDOW", 15 * _minute, **_waits)
LOGIN_DELAY = duration("LOGIN_DELAY", timedelta(seconds=30), **_waits)
LOGIN_MAX_DELAY = duration("LOGIN_MAX_DELAY", _hour, **_waits)
SIGNUPS_PER_HOUR = number("SIGNUPS_PER_HOUR", 20, maximum=10_000)
RESET_MAILS_PER_HOUR = number("RESET_MAILS_PER_HOUR", 5, maximum=100)
MAILS_PER_HOUR = number("MAILS_PER_HOUR", 20, maximum=1000)
MAX_CONCURRENT_HASHES = number("MAX_CONCURRENT_HASHES", min(os.cpu_count() or 1, 64), maximum=64)
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

# Devices
ACCESS_TOKEN_LIFETIME = duration(
    "ACCESS_TOKEN_LIFETIME", 5 * _minute, minimum=_minute, maximum=15 * _minute
)
_lifetimes = {"minimum": _hour, "maximum": 400 * _day}
DEVICE_IDLE_TIMEOUT = duration("DEVICE_IDLE_TIMEOUT", 14 * _day, **_lifetimes)
DEVICE_LIFETIME = duration("DEVICE_LIFETIME", 30 * _day, **_lifetimes)
_of_staff = {"minimum": _minute, "maximum": 7 * _day}
STAFF_BROWSER_IDLE_TIMEOUT = duration("STAFF_BROWSER_IDLE_TIMEOUT", _hour, **_of_staff)
STAFF_BROWSER_LIFETIME = duration("STAFF_BROWSER_LIFETIME", 12 * _hour, **_of_staff)
REFRESH_GRACE = duration(
    "REFRESH_GRACE", timedelta(seconds=30), minimum=timedelta(0), maximum=_minute
)
STEP_UP_MAX_AGE = duration("STEP_UP_MAX_AGE", 15 * _minute, minimum=_minute, maximum=_hour)
MAX_DEVICES_PER_USER = number("MAX_DEVICES_PER_USER", 20, maximum=1000)
DEVICE_RETENTION = duration("DEVICE_RETENTION", 28 * _day, minimum=_day, maximum=3650 * _day)
FORGET_AFTER = duration("FORGET_AFTER", 7 * _day, minimum=_hour, maximum=3650 * _day)
GEOIP_PATH = environment.file("GEOIP_PATH")

# The network
TRUSTED_PROXIES = environment.networks("TRUSTED_PROXIES")
if TRUSTED_PROXIES:
    # ClientAddressMiddleware removes this header from the requests of all other peers.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", not DEBUG)
SECURE_HSTS_SECONDS = number(
    "SECURE_HSTS_SECONDS", 0 if DEBUG else environment.YEAR, minimum=0, maximum=2 * environment.YEAR
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", not DEBUG)
SECURE_HSTS_PRELOAD = environment.preload(
    "SECURE_HSTS_PRELOAD", SECURE_HSTS_SECONDS, subdomains=SECURE_HSTS_INCLUDE_SUBDOMAINS
)

SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_SECURE = env.bool("SESSION_COOKIE_SECURE", not DEBUG)
SESSION_COOKIE_NAME = "__Host-sessionid" if SESSION_COOKIE_SECURE else "sessionid"
SESSION_COOKIE_AGE = int(DEVICE_LIFETIME.total_seconds())
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_COOKIE_NAME = "__Host-csrftoken" if SESSION_COOKIE_SECURE else "csrftoken"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
CSRF_TRUSTED_ORIGINS = environment.trusted_origins("CSRF_TRUSTED_ORIGINS")
# Messages are in the session, because Django's own cookie for them has no `__Host-` prefix.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
# No view takes a file. Without this limit Django would write a file of any size to disk.
DATA_UPLOAD_MAX_NUMBER_FILES = 0

CORS_ALLOWED_ORIGINS = environment.open_origins("CORS_ALLOWED_ORIGINS")
CORS_ALLOW_ALL_ORIGINS = CORS_ALLOWED_ORIGINS == ["*"]
if CORS_ALLOW_ALL_ORIGINS:
    CORS_ALLOWED_ORIGINS = []
if CORS_ALLOWED_ORIGINS or CORS_ALLOW_ALL_ORIGINS:
    # Only here, because without an origin it would do nothing but read the headers of each request.
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.common.CommonMiddleware"),
        "corsheaders.middleware.CorsMiddleware",
    )
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key")
CORS_EXPOSE_HEADERS = ["WWW-Authenticate", "Retry-After", "X-Request-ID"]

# Off unless a port is given.
METRICS_PORT = environment.port("METRICS_PORT")
if METRICS_PORT:
    MIDDLEWARE.insert(1, "config.metrics.measure")

# The API
REST_FRAMEWORK = {
    # The bearer token stands first, because a 401 carries the challenge of the first class.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tokens.authentication.IssuedTokenAuthentication",
        "tokens.authentication.BrowserDeviceAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.negotiation.ContentNegotiation",
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "config.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PAGINATION_CLASS": "config.pagination.PageNumberPagination",
    "DEFAULT_SCHEMA_CLASS": "config.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.exception_handler.exception_handler",
    "NUM_PROXIES": 0,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Guestlist",
    "DESCRIPTION": "Admin-managed sessions: a JWT is accepted only while its device is live.",
    "VERSION": "1.0.0",
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.add_refusals",
    ],
}

# Mail and logs
_email = environment.mail_server("EMAIL_URL", "console://" if DEBUG else "smtp://localhost:25")
EMAIL_BACKEND = {
    "django.core.mail.backends.smtp.EmailBackend": "django.core.mail.backends.smtp.EmailBackend",
    "django.core.mail.backends.console.EmailBackend": "accounts.mail.ConsoleBackend",
}[_email["EMAIL_BACKEND"]]
EMAIL_HOST = _email["EMAIL_HOST"] or "localhost"
EMAIL_PORT = _email["EMAIL_PORT"] or 25
EMAIL_HOST_USER = _email["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = _email["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = _email["EMAIL_USE_TLS"]
EMAIL_USE_SSL = _email["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 10
# With DEBUG on, each process sends what it queued, after the commit. Otherwise `send_mails` does.
SEND_MAILS_AT_ONCE = DEBUG
DEFAULT_FROM_EMAIL = environment.sender(
    "DEFAULT_FROM_EMAIL", "Guestlist <guestlist@localhost>" if DEBUG else ""
)
ADMINS = environment.recipients("ADMINS")
SERVER_EMAIL = environment.sender("SERVER_EMAIL", DEFAULT_FROM_EMAIL)

# Each line is a JSON object; with DEBUG on it is text for people. docs/security.md lists what is
# logged, and when. Of Django's own lines about requests only those of a 5xx are kept, because the
# project logs the others itself, with their cause.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "config.logs.JSONFormatter"},
        "plain": {
            "()": "logging.Formatter",
            "fmt": "{asctime} {levelname} {name} {message} {check}",
            "style": "{",
            "defaults": {"check": ""},
        },
    },
    "filters": {"sparing": {"()": "config.logs.SparingFilter"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain" if DEBUG else "json",
            "filters": ["sparing"],
        },
        "mail_admins": {
            "class": "config.logs.AdminEmailHandler",
            "level": "ERROR",
            "filters": ["sparing"],
        },
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "config": {"level": "INFO"},
        "accounts": {"level": "INFO"},
        "tokens": {"level": "INFO"},
        "django": {"level": "INFO"},
        "fido2": {"level": "WARNING"},  # below that it writes the ids of credentials
        "django.request": {"handlers": ["mail_admins"], "level": "ERROR"},
    },
}
