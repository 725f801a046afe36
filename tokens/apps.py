from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Devices"

    def ready(self):
        from tokens import checks, lookups, receivers, signing  # noqa: F401

        # An unusable key stops the start, whatever is started.
        signing.key_ring()
