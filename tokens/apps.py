from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Devices"
    role_permissions = {
        "admin": [f"tokens.{act}_issuedtoken" for act in ("view", "change", "delete", "revoke")],
        "support": ["tokens.view_issuedtoken", "tokens.revoke_issuedtoken"],
    }

    def ready(self):
        from tokens import checks, lookups, receivers, signing  # noqa: F401

        # An unusable key stops the start of whatever is started: a server or a command.
        signing.key_ring()
