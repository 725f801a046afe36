"""Logs changes to accounts, roles and permissions, and what staff do in the admin.

Mails all superusers when there is a new one, and the person whose account is deleted.
"""

import logging
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver
from django.urls import reverse

from accounts.letters import Mail, by_staff, paths
from accounts.log import AT_ONCE, log_committed
from accounts.mail import send_mail_to, send_mails
from accounts.models import Passkey, Role, User
from accounts.models.roles import label_of

logger = logging.getLogger(__name__)

# Who holds what, by the table that says so.
RIGHTS: dict[Any, tuple[str, str]] = {
    User.roles.through: ("user", "role"),
    User.user_permissions.through: ("user", "permission"),
    Role.permissions.through: ("role", "permission"),
}


@receiver(m2m_changed, sender=User.roles.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Role.permissions.through)
def log_rights(sender, instance, action, pk_set, **kwargs):
    """Log the roles or permissions that people, or a role, got or lost, from either side."""
    (holder, right), reverse, using = RIGHTS[sender], kwargs["reverse"], kwargs["using"]
    if action == "pre_clear":
        here, there = (right, holder) if reverse else (holder, right)
        rows = sender.objects.using(using).filter(**{f"{here}_id": instance.pk})
        instance.cleared = set(rows.values_list(f"{there}_id", flat=True))
    elif action in ("post_add", "post_remove", "post_clear"):
        others = sorted(instance.cleared if pk_set is None else pk_set)
        holders, rights = (others, [instance.pk]) if reverse else ([instance.pk], others)
        details = {"change": action.removeprefix("post_"), f"{right}s": _told(right, rights)}
        for start in range(0, len(holders), AT_ONCE):
            some = holders[start : start + AT_ONCE]
            log_committed("rights changed", using, **{f"of_{holder}s": some}, **details)


def _told(right: str, keys: list[int]) -> list[Any]:
    """Roles by their ids, and permissions by their labels, which a later `migrate` keeps."""
    if right == "role":
        return keys
    return [label_of(permission) for permission in Permission.objects.filter(pk__in=keys)]


@receiver(post_delete, sender=Role)
def log_deleted_role(instance, using, **kwargs):
    """The people who had it lose it without a line of their own."""
    log_committed("role deleted", using, role=instance.pk, role_name=instance.name)


@receiver(post_delete, sender=Passkey)
def log_removed_passkey(instance, using, **kwargs):
    log_committed("passkey removed", using, user=instance.user_id, passkey=str(instance.pk))


@receiver(post_save, sender=User)
def log_new_account(instance, created, using, **kwargs):
    if created:
        log_committed("account created", using, user=instance.pk)


@receiver(pre_save, sender=User)
def look_for_new_superuser(instance, raw, using, update_fields, **kwargs):
    """Remember whether this save makes a superuser. Other people's saves cost no query."""
    instance.becomes_superuser = False
    if raw or not instance.is_superuser:
        return
    if update_fields is None or "is_superuser" in update_fields:
        before = User.objects.using(using).filter(pk=instance.pk, is_superuser=True)
        instance.becomes_superuser = not before.exists()


@receiver(post_save, sender=User)
def tell_of_new_superuser(instance, **kwargs):
    """Mail the other superusers, so that they notice one whom they do not expect."""
    if not instance.becomes_superuser:
        return
    facts = {"account": instance.username, "id": instance.pk}
    others = User.objects.superusers().exclude(pk=instance.pk)
    send_mails("new_superuser", [(user, facts) for user in others])


@receiver(post_delete, sender=User)
def tell_of_deleted_account(instance, using, **kwargs):
    """Log it, and mail the person. The view that its owner uses notes the origin on the user."""
    log_committed("account deleted", using, user=instance.pk)
    if instance.email_verified_at:
        facts = getattr(instance, "origin", by_staff())
        send_mail_to(instance.email, instance, "account_deleted", facts)


def _path_to_superuser(mail: Mail) -> str:
    return reverse("admin:accounts_user_change", args=[mail.facts["id"]])


paths.update(new_superuser=_path_to_superuser, account_deleted=lambda mail: "")


@receiver(post_save, sender=LogEntry)
def log_admin_action(instance, **kwargs):
    details = {
        "by": instance.user_id,
        "action": instance.get_action_flag_display(),
        "model": instance.content_type and instance.content_type.model,
        "object": instance.object_id,
    }
    logger.info("admin action", extra=details)
