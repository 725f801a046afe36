"""What is deleted with a user: the devices are counted, and not loaded and listed one by one."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import NestedObjects
from django.db import router
from django.db.models import Model, QuerySet
from django.utils.text import capfirst

from accounts.history import OF_OWN_NAMES
from tokens.models import IssuedToken

Found = tuple[list[Any], dict[str, int], set[str], list[str]]


class NestedWithoutDevices(NestedObjects):
    """Django's collector of what goes along, without what needs no permission.

    That is the devices, of which there may be many, and what people changed of their own names.
    """

    def related_objects(self, related_model, related_fields, objs):
        if related_model is IssuedToken:
            return IssuedToken.objects.none()
        found = super().related_objects(related_model, related_fields, objs)
        return found.exclude(OF_OWN_NAMES) if related_model is LogEntry else found


def deleted_with(users: QuerySet | list, request: Any, admin_site: Any) -> Found:
    """As `django.contrib.admin.utils.get_deleted_objects`, with one line for all devices.

    Devices need no permission: they are deleted with their user.
    """
    collector = NestedWithoutDevices(using=router.db_for_write(IssuedToken), origin=users)
    collector.collect(users)
    missing: set[str] = set()

    def line(item: Model) -> str:
        options = admin_site._registry.get(type(item))
        name = str(item._meta.verbose_name)
        if options and not options.has_delete_permission(request, item):
            missing.add(name)
        return f"{capfirst(name)}: {item}"

    listed = collector.nested(line)
    counts = {
        str(model._meta.verbose_name_plural): len(items)
        for model, items in collector.model_objs.items()
    }
    if devices := IssuedToken.objects.filter(user__in=users).count():
        listed.append(f"{devices:,} device{'' if devices == 1 else 's'}")
        counts[str(IssuedToken._meta.verbose_name_plural)] = devices
    return listed, counts, missing, [line(item) for item in collector.protected]
