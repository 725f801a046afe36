"""The roles that exist after `migrate`, and the names of roles that code asks for.

The apps declare what the built-in roles may do at first.
"""

from django.apps import apps as global_apps

BUILT_IN = {
    "admin": "Manages people, roles and devices.",
    "support": "Finds people and revokes their devices.",
}

# The names that views ask for with `HasRole`. Only a superuser gives a role one of them.
ASKED_FOR: set[str] = set()


def create_built_in_roles(using, apps=global_apps, **kwargs):
    """Create each missing built-in role, once all its permissions exist. Called by `post_migrate`.

    Django sends that signal for each app in turn, and creates the app's permissions at that time.
    So an early call finds some permissions missing, and leaves the role to a later call. A role
    that exists keeps the permissions that staff gave it.
    """
    try:
        Role = apps.get_model("accounts", "Role")
        Permission = apps.get_model("auth", "Permission")
    except LookupError:  # the database is migrated back to before these models
        return
    for name, description in BUILT_IN.items():
        if Role.objects.using(using).filter(name=name).exists():
            continue
        labels = declared_permissions(name)
        permissions = [
            permission
            for permission in Permission.objects.using(using).select_related("content_type")
            if f"{permission.content_type.app_label}.{permission.codename}" in labels
        ]
        if len(permissions) == len(labels):
            role = Role.objects.using(using).create(name=name, description=description)
            role.permissions.set(permissions)


def declared_permissions(role: str) -> set[str]:
    """The permissions ("app.codename") that the apps declare for a built-in role.

    An app declares them in its AppConfig: `role_permissions = {"support": ["app.codename"]}`.
    """
    found: set[str] = set()
    for config in global_apps.get_app_configs():
        found.update(getattr(config, "role_permissions", {}).get(role, ()))
    return found
