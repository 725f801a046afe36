from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class SiteConfig(AppConfig):
    name = "config"
    verbose_name = "Site"

    def ready(self):
        from config import checks  # noqa: F401


class AdminConfig(admin_apps.AdminConfig):
    """Django's admin, on a site that asks for the password before staff change people or roles."""

    default_site = "tokens.step_up.StepUpSite"
