from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404
from django.template.loader import render_to_string
from django.urls import path, reverse

from accounts.admin.users import UserAdmin
from accounts.models import User
from tokens.admin.deletion import deleted_with
from tokens.admin.passkeys import PasskeyPages
from tokens.admin.revocation import MAX_SHOWN, RevokePages
from tokens.browser import get_device

DEVICES = [("Live devices", {"fields": ["devices"]}), ("Ended devices", {"fields": ["ended"]})]


@admin.register(User)
class UserWithDevicesAdmin(RevokePages, PasskeyPages, UserAdmin):
    """A user's page, with the devices where the user is signed in."""

    fieldsets = [
        UserAdmin.fieldsets[0],
        *DEVICES,
        *UserAdmin.fieldsets[1:],
    ]
    readonly_fields = [*UserAdmin.readonly_fields, "devices", "ended"]

    def get_urls(self):
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", revoke, name="tokens_user_revoke"),
            *super().get_urls(),
        ]

    def get_object(self, request, object_id, from_field=None):
        """The user, with what their devices need to know of staff.

        `shows_revoke` says whether a Revoke link stands next to each device. `staffs_device` is the
        key of the device that staff use now.
        """
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            user.shows_revoke = self.may_revoke(request, user)
            user.staffs_device = get_device(request).pk
        return user

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or request.user.has_perm("tokens.view_issuedtoken"):
            return fieldsets
        return [section for section in fieldsets if section not in DEVICES]

    def get_deleted_objects(self, objs, request):
        *found, protected = deleted_with(objs, request, self.admin_site)
        return *found, [*protected, *self.protected_superusers(objs)]

    def revoke_view(self, request, object_id):
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not request.user.may_touch(user):
            raise PermissionDenied
        back = reverse("admin:accounts_user_change", args=[user.pk])
        return self.confirm_revoke(request, user.devices.all(), back=back, user=user)

    @admin.display(description="live devices")
    def devices(self, user):
        live = user.devices.live()
        count = live.count()
        shown = live.with_state().annotate(is_own=Q(pk=user.staffs_device))
        context = {
            "person": user,
            "live": count,
            "ended": user.devices.count() - count,
            "devices": shown.order_by("-last_seen_at")[:MAX_SHOWN],
            "max_shown": MAX_SHOWN,
        }
        return render_to_string("admin/tokens/live.html", context)

    @admin.display(description="ended devices")
    def ended(self, user):
        ended = user.devices.ended_since(Now() - settings.DEVICE_RETENTION)[:MAX_SHOWN]
        context = {"person": user, "devices": ended, "max_shown": MAX_SHOWN}
        return render_to_string("admin/tokens/ended.html", context)
