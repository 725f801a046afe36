"""The project's settings, with the contender that the variable CONTENDER names.

Each contender has processes of its own. Two of the peers cannot be installed side by side, and one
looks at import whether an app is installed. With STOCK, what a request passes is as in a new
project: middleware, REST framework and the connection to the database.
"""

import os
from datetime import timedelta

import dj_database_url

from benchmarks.contenders import CONTENDERS, STOCK
from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, LOGGING, MIDDLEWARE, REST_FRAMEWORK, STORAGES

CONTENDER = CONTENDERS[os.environ["CONTENDER"].removesuffix(STOCK)]
IS_STOCK = os.environ["CONTENDER"].endswith(STOCK)

INSTALLED_APPS = [*INSTALLED_APPS, *CONTENDER.apps]
ROOT_URLCONF = "benchmarks.urls"
REST_FRAMEWORK = {
    **REST_FRAMEWORK,
    "DEFAULT_AUTHENTICATION_CLASSES": [CONTENDER.authentication],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
# The same for all, and cheap: the question is what a login costs without its hash.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
# Lines of the log are made and written, but not shown.
LOGGING["handlers"]["console"] |= {"class": "logging.FileHandler", "filename": os.devnull}
DEBUG_PROPAGATE_EXCEPTIONS = True
ACCESS_TOKEN_LIFETIME = timedelta(days=1)  # longer than the run, as for every contender
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"

if CONTENDER.name != "guestlist":
    # Django's own, which a project without devices would have.
    MIDDLEWARE[MIDDLEWARE.index("tokens.middleware.DeviceMiddleware")] = (
        "django.contrib.auth.middleware.AuthenticationMiddleware"
    )
    AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    REST_FRAMEWORK["EXCEPTION_HANDLER"] = "rest_framework.views.exception_handler"
    SESSION_ENGINE = "django.contrib.sessions.backends.db"

if IS_STOCK:
    DATABASES = {"default": dict(dj_database_url.parse(os.environ["DATABASE_URL"]))}
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [CONTENDER.authentication],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    }

MIDDLEWARE = [*MIDDLEWARE, *CONTENDER.middleware]
globals().update(CONTENDER.settings)
