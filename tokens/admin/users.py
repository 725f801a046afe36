from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join

from accounts.admin.users import UserAdmin
from accounts.models import User
from tokens.admin.deletion import deleted_with
from tokens.admin.display import ago, revoke_link
from tokens.admin.revocation import MAX_SHOWN, RevokePages
from tokens.models import IssuedToken


@admin.register(User)
class UserWithDevicesAdmin(RevokePages, UserAdmin):
    """A user's page, with the devices where the user is signed in."""

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
        """The user, with `shows_revoke`: whether a Revoke link stands next to each device."""
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

    @admin.display(description="devices")
    def devices(self, user):
        live = user.devices.live()
        count = live.count()
        shown = live.with_state().order_by("-last_seen_at")[:MAX_SHOWN]
        return format_html(
            "{}<br>{}{}",
            _counts(count, user.devices.count()),
            format_html_join("", "{}<br>", ((_line(user, device),) for device in shown)),
            _links(user, count),
        )


def _counts(live: int, total: int) -> str:
    text = f"{live:,} live, {total - live:,} ended"
    return f"{text}; the {MAX_SHOWN} seen last:" if live > MAX_SHOWN else text


def _line(user: User, device: IssuedToken) -> str:
    url = reverse("admin:tokens_issuedtoken_change", args=[device.pk])
    parts = [
        format_html('<a href="{}">{}</a>', url, device),
        device.location or device.last_ip,
        format_html("last seen {}", ago(device.last_seen_at, device.now)),
        user.shows_revoke and revoke_link(device),
    ]
    return format_html_join(" · ", "{}", ((part,) for part in parts if part))


def _links(user: User, live: int) -> str:
    """A link to all devices of the user. Staff who may revoke also get a link that revokes them."""
    everything = format_html(
        '<a href="{}?user__id__exact={}">All devices of {}</a>',
        reverse("admin:tokens_issuedtoken_changelist"),
        user.pk,
        user,
    )
    if not live or not user.shows_revoke:
        return everything
    url = reverse("admin:tokens_user_revoke", args=[user.pk])
    return format_html('<a href="{}">Revoke all {}</a> · {}', url, f"{live:,}", everything)
