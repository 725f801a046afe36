"""The roles that exist after `migrate`, and the names of roles that code asks for.

The apps declare what the built-in roles may do at first.
"""

from typing import Any

from django.apps import apps as global_apps

BUILT_IN = {
    "admin": "Manages people, roles and devices.",
    "support": "Finds people and revokes their devices.",
}

# The names that views ask for with `HasRole`. Only a superuser gives a role one of them.
ASKED_FOR: set[str] = set()

# The labels of the permissions that there were before this `migrate`, by database.
_noted: dict[str, set[str]] = {}


def note_permissions(using, apps=global_apps, **kwargs):
    """Note which permissions there are before new ones are made. Called by `pre_migrate`."""
    try:
        _noted[using] = set(_permissions(using, apps))
    except LookupError:  # the first migrate: there is no table yet
        _noted[using] = set()


def update_built_in_roles(using, apps=global_apps, **kwargs):
    """Create each missing built-in role, and give the others what is new. Called by `post_migrate`.

    A role that exists keeps the permissions that staff gave it. It gets a declared permission once,
    in the `migrate` that creates the permission.

    Django sends that signal for each app in turn, and creates the app's permissions at that time.
    So an early call finds some permissions missing, and leaves them to a later call.
    """
    try:
        Role = apps.get_model("accounts", "Role")
        permissions = _permissions(using, apps)
    except LookupError:  # the database is migrated back to before these models
        return
    for name, description in BUILT_IN.items():
        labels = declared_permissions(name)
        role = Role.objects.using(using).filter(name=name).first()
        if role:
            new = labels - _noted.get(using, labels)
            role.permissions.add(*(permissions[label] for label in new & permissions.keys()))
        elif labels <= permissions.keys():
            role = Role.objects.using(using).create(name=name, description=description)
            role.permissions.set(permissions[label] for label in labels)


def declared_permissions(role: str) -> set[str]:
    """The permissions ("app.codename") that the apps declare for a built-in role.

    An app declares them in its AppConfig: `role_permissions = {"support": ["app.codename"]}`.
    """
    found: set[str] = set()
    for config in global_apps.get_app_configs():
        found.update(getattr(config, "role_permissions", {}).get(role, ()))
    return found


def staff_permissions() -> set[str]:
    """The permissions that are for staff: those that the apps declare for the built-in roles."""
    return set().union(*map(declared_permissions, BUILT_IN))


def _permissions(using: str, apps: Any) -> dict[str, Any]:
    """All permissions by label ("app.codename")."""
    found = apps.get_model("auth", "Permission").objects.using(using).select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}": one for one in found}
