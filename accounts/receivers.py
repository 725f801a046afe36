"""Logs changes to accounts, roles and permissions, and what staff do in the admin."""

import logging

from django.contrib.admin.models import LogEntry
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import receiver

from accounts.models import Role, User

logger = logging.getLogger(__name__)


@receiver(m2m_changed, sender=User.roles.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Role.permissions.through)
def log_rights(sender, instance, action, pk_set, **kwargs):
    """Log the roles or permissions that a person, or a role, got or lost."""
    if action not in ("post_add", "post_remove", "post_clear"):
        return
    details = {
        "changed": sender._meta.db_table,
        "of": str(instance.pk),
        "change": action.removeprefix("post_"),
        "ids": sorted(pk_set or ()),
    }
    logger.info("rights changed", extra=details)


@receiver(post_save, sender=User)
def log_new_account(instance, created, **kwargs):
    if created:
        logger.info("account created", extra={"user": instance.pk})


@receiver(post_delete, sender=User)
def log_deleted_account(instance, **kwargs):
    logger.info("account deleted", extra={"user": instance.pk})


@receiver(post_save, sender=LogEntry)
def log_admin_action(instance, **kwargs):
    details = {
        "by": instance.user_id,
        "action": instance.get_action_flag_display(),
        "model": instance.content_type and instance.content_type.model,
        "object": instance.object_id,
    }
    logger.info("admin action", extra=details)
