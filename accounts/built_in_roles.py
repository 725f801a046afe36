"""The roles that exist after `migrate`: what they may do at first, and that they stay."""

from django.apps import apps as global_apps

BUILT_IN = {
    "admin": (
        "Manages people, roles and devices.",
        (
            "accounts.add_user",
            "accounts.change_user",
            "accounts.delete_user",
            "accounts.view_user",
            "accounts.add_role",
            "accounts.change_role",
            "accounts.delete_role",
            "accounts.view_role",
            "accounts.view_throttle",
            "accounts.lift_throttle",
            "admin.view_logentry",
            "tokens.view_issuedtoken",
            "tokens.change_issuedtoken",
            "tokens.delete_issuedtoken",
            "tokens.revoke_issuedtoken",
        ),
    ),
    "support": (
        "Finds people and revokes their devices.",
        (
            "accounts.view_user",
            "accounts.view_throttle",
            "accounts.lift_throttle",
            "tokens.view_issuedtoken",
            "tokens.revoke_issuedtoken",
        ),
    ),
}


def create_built_in_roles(using, apps=global_apps, **kwargs):
    """Create each missing built-in role once all its permissions exist.

    `post_migrate` is sent for one app after another, and permissions come with it, so early calls
    find some missing and leave the role to a later one. A role that exists keeps what staff made
    of it.
    """
    try:
        Role = apps.get_model("accounts", "Role")
        Permission = apps.get_model("auth", "Permission")
    except LookupError:  # migrated back to before the app
        return
    for name, (description, labels) in BUILT_IN.items():
        if Role.objects.using(using).filter(name=name).exists():
            continue
        permissions = [
            permission
            for permission in Permission.objects.using(using).select_related("content_type")
            if f"{permission.content_type.app_label}.{permission.codename}" in labels
        ]
        if len(permissions) == len(labels):
            role = Role.objects.using(using).create(name=name, description=description)
            role.permissions.set(permissions)
