from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate

from accounts.built_in_roles import note_permissions, update_built_in_roles


class AccountsConfig(AppConfig):
    name = "accounts"
    role_permissions = {
        "admin": [
            *(f"accounts.{act}_user" for act in ("add", "change", "delete", "view")),
            *(f"accounts.{act}_role" for act in ("add", "change", "delete", "view")),
            "accounts.view_throttle",
            "accounts.lift_throttle",
            "accounts.view_queuedmail",
            "accounts.retry_queuedmail",
            "admin.view_logentry",
        ],
        "support": ["accounts.view_user", "accounts.view_throttle", "accounts.lift_throttle"],
    }

    def ready(self):
        # Imported here, because checks and receivers register themselves on import, and so do the
        # kinds of mails.
        from accounts import checks, passkeys, receivers, reset, verification  # noqa: F401

        pre_migrate.connect(note_permissions)
        post_migrate.connect(update_built_in_roles)
