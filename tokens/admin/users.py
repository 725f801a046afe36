from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join

from accounts.admin import UserAdmin
from accounts.models import User
from tokens.admin.display import ago, revoke_link
from tokens.admin.revocation import SHOWN, RevokePages
from tokens.models import IssuedToken


@admin.register(User)
class UserWithDevicesAdmin(RevokePages, UserAdmin):
    """A person's account, with where they are signed in."""

    fieldsets = [
        UserAdmin.fieldsets[0],
        ("Devices", {"fields": ["devices"]}),
        *UserAdmin.fieldsets[1:],
    ]
    readonly_fields = [*UserAdmin.readonly_fields, "devices"]

    def get_urls(self):
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", revoke, name="tokens_user_revoke"),
            *super().get_urls(),
        ]

    def get_object(self, request, object_id, from_field=None):
        """The user, who knows whether the page shows a Revoke beside each device."""
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            user.shows_revoke = self.may_revoke(request, user)
        return user

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or request.user.has_perm("tokens.view_issuedtoken"):
            return fieldsets
        return [section for section in fieldsets if section[0] != "Devices"]

    def get_deleted_objects(self, objs, request):
        """Devices go with their user, whoever may not delete a device alone."""
        to_delete, model_count, perms_needed, protected = super().get_deleted_objects(objs, request)
        return to_delete, model_count, perms_needed - {IssuedToken._meta.verbose_name}, protected

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
        live = user.devices.live().with_state().order_by("-last_seen_at")
        rows = [
            (
                reverse("admin:tokens_issuedtoken_change", args=[device.pk]),
                device,
                device.location or device.last_ip or "",
                ago(device.last_seen_at, device.now),
                revoke_link(device) if user.shows_revoke else "",
            )
            for device in live[:SHOWN]
        ]
        listed = format_html_join("", '<a href="{}">{}</a> · {} · last seen {} · {}<br>', rows)
        count = live.count()
        links = format_html(
            '<a href="{}?user__id__exact={}">All devices of {}</a>',
            reverse("admin:tokens_issuedtoken_changelist"),
            user.pk,
            user,
        )
        if count and user.shows_revoke:
            url = reverse("admin:tokens_user_revoke", args=[user.pk])
            links = format_html('<a href="{}">Revoke all {}</a> · {}', url, count, links)
        return format_html("{}{}", listed, links)
