"""The project's settings, with the contender that CONTENDER names in the place of its devices.

Each contender runs in processes of its own: two of the peers cannot be installed side by side,
and one reads at import whether an app is.
"""

import os

from benchmarks.contenders import CONTENDERS
from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, LOGGING, MIDDLEWARE, REST_FRAMEWORK, STORAGES

CONTENDER = CONTENDERS[os.environ["CONTENDER"]]

INSTALLED_APPS = [*INSTALLED_APPS, *CONTENDER.apps]
MIDDLEWARE = [*MIDDLEWARE, *CONTENDER.middleware]
ROOT_URLCONF = "benchmarks.urls"
REST_FRAMEWORK = {
    **REST_FRAMEWORK,
    "DEFAULT_AUTHENTICATION_CLASSES": [CONTENDER.authentication],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
# The same for all, and next to nothing: what a login costs beside its hash is the question.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
# Lines of the log are made and written, and nobody reads them.
LOGGING["handlers"]["console"] |= {"class": "logging.FileHandler", "filename": os.devnull}
DEBUG_PROPAGATE_EXCEPTIONS = True
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"

if CONTENDER.name != "guestlist":
    # Django's own, which a project without devices would have.
    MIDDLEWARE[MIDDLEWARE.index("tokens.middleware.DeviceMiddleware")] = (
        "django.contrib.auth.middleware.AuthenticationMiddleware"
    )
    AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    REST_FRAMEWORK["EXCEPTION_HANDLER"] = "rest_framework.views.exception_handler"
    SESSION_ENGINE = "django.contrib.sessions.backends.db"

globals().update(CONTENDER.settings)
