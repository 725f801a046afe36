"""What `make mutation` needs of pytest. pyproject.toml names it under [tool.mutmut]."""

import os
import sys

import pytest


def pytest_configure(config):
    config.pluginmanager.register(Database())


class Database:
    """Registered late, so its fixture takes the place of pytest-django's."""

    @pytest.fixture(scope="session")
    @classmethod
    def django_db_modify_db_settings(cls):
        """A database for each process, because mutants are tested side by side."""
        from django.conf import settings

        settings.DATABASES["default"]["TEST"]["NAME"] = f"test-{os.getpid()}.sqlite3"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Clear caches before each test, or only the first one runs the code that fills them."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("accounts.", "config.", "tokens.")):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
