from django.apps import AppConfig
from django.db.models.signals import post_migrate

from accounts.built_in_roles import create_built_in_roles


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self):
        from accounts import receivers  # noqa: F401

        post_migrate.connect(create_built_in_roles, dispatch_uid="accounts.built_in_roles")
