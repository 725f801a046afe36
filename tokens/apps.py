from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Devices"
    # What the built-in roles of accounts may do with devices.
    role_permissions = {
        "admin": [f"tokens.{act}_issuedtoken" for act in ("view", "change", "delete", "revoke")],
        "support": ["tokens.view_issuedtoken", "tokens.revoke_issuedtoken"],
    }

    def ready(self):
        # Imported here, because checks, lookups and receivers register themselves on import.
        from tokens import checks, lookups, receivers  # noqa: F401
