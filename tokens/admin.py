import ipaddress
import uuid
from datetime import datetime, timedelta

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Q
from django.http import Http404
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.timesince import timesince

from accounts.admin import UserAdmin
from accounts.models import User
from tokens import flows
from tokens.client import clean_text
from tokens.middleware import get_device
from tokens.models import IssuedToken, IssuedTokenQuerySet, State
from tokens.step_up import ask_for_password

SHOWN = 20  # devices on a confirmation page and on a user's page


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request, model_admin):
        return State.choices

    def queryset(self, request, queryset):
        if self.value() in State.values:
            return queryset.in_state(self.value())
        return queryset


class OSFilter(admin.SimpleListFilter):
    title = "OS"
    parameter_name = "os"
    names = ["Windows", "macOS", "Linux", "ChromeOS", "Android", "iOS"]

    def lookups(self, request, model_admin):
        return [(name, name) for name in self.names] + [("other", "Other")]

    def queryset(self, request, queryset):
        if self.value() in self.names:
            return queryset.filter(os=self.value())
        return queryset.exclude(os__in=self.names) if self.value() else queryset


class RevokePages:
    """The confirmation page before devices are revoked, shared by every button and action."""

    revoke_template = "admin/tokens/revoke.html"

    def has_revoke_permission(self, request):
        return request.user.has_perm("tokens.revoke_issuedtoken")

    def may_revoke(self, request, user: User) -> bool:
        return self.has_revoke_permission(request) and request.user.may_touch(user)

    def confirm_revoke(self, request, devices: IssuedTokenQuerySet, *, back: str, user=None):
        """Show what would end; on the confirmed POST end it and go `back`.

        A superuser's devices are left out unless a superuser asks, and so is the current device
        of whoever asks, unless it is ticked. `user` says that all devices are of that one.
        """
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        devices = devices.live()
        if not request.user.is_superuser:
            devices = devices.filter(user__is_superuser=False)
        current = devices.filter(pk=get_device(request).pk)
        holds_current = current.exists()
        if not (holds_current and request.POST.get("include_current")):
            devices = devices.exclude(pk=get_device(request).pk)
        if request.method == "POST" and request.POST.get("confirmed"):
            several = user is None and devices.exclude(user=devices.values("user")[:1]).exists()
            return (several and ask_for_password(request)) or self._revoke(
                request, devices, back, user
            )
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke devices",
            "opts": IssuedToken._meta,
            "count": devices.count(),
            "devices": devices.select_related("user").order_by("-created_at", "-pk")[:SHOWN],
            "holds_current": holds_current,
            "held": _held(request),
            "note_length": flows.NOTE_LENGTH,
            "back": back,
        }
        return TemplateResponse(request, self.revoke_template, context)

    def _revoke(self, request, devices, back, user):
        note = clean_text(request.POST.get("note", ""), flows.NOTE_LENGTH)
        ends_here = devices.filter(pk=get_device(request).pk).exists()
        if user is not None:
            keys = list(devices.values_list("pk", flat=True))
            batches = [
                (
                    IssuedToken.objects.filter(pk__in=keys),
                    flows.revoke_for_user(user, devices, by=request.user, note=note),
                )
            ]
        else:
            batches = flows.revoke_in_batches(
                devices, reason=IssuedToken.Reason.STAFF, by=request.user, note=note
            )
        ended = 0
        for batch, count in batches:
            ended += count
            _log_revoked(request, batch, note)
        word = "device was" if ended == 1 else "devices were"
        messages.success(request, f"{ended} {word} revoked.")
        return redirect("admin:login" if ends_here else back)


@admin.register(IssuedToken)
class DeviceAdmin(RevokePages, admin.ModelAdmin):
    """Every device. Read-only but for its name; ended by Revoke; deleted by purge alone."""

    list_display = [
        "client",
        "owner",
        "kind",
        "shown_state",
        "address",
        "last_seen",
        "signed_in",
        "revoke",
    ]
    list_display_links = ["client"]
    list_filter = [StateFilter, "kind", OSFilter, "created_at", "revoked_reason"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-created_at", "-id"]
    search_fields = ["id"]
    search_help_text = "Username, email address, IP address or network, or device id"
    actions = ["revoke_selected", "purge_selected"]
    fieldsets = [
        (None, {"fields": ["name", "client", "owner", "kind", "shown_state", "revoke"]}),
        (
            "Where and when",
            {
                "fields": [
                    "user_agent",
                    "ip_address",
                    "last_ip",
                    "location",
                    "created_at",
                    "authenticated_at",
                    "last_seen_at",
                    "idle_at",
                    "expires_at",
                ]
            },
        ),
        (
            "End",
            {"fields": ["revoked_at", "revoked_by_name", "revoked_reason", "told"]},
        ),
    ]

    def get_queryset(self, request):
        return super().get_queryset(request).with_state()

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.may_revoke(request, obj.user):
            return fieldsets
        (title, first), *others = fieldsets
        fields = [field for field in first["fields"] if field != "revoke"]
        return [(title, {**first, "fields": fields}), *others]

    def get_readonly_fields(self, request, obj=None):
        shown = [field for _, section in self.fieldsets for field in section["fields"]]
        return [field for field in shown if field != "name"]

    def get_list_display(self, request):
        if self.has_revoke_permission(request):
            return self.list_display
        return self.list_display[:-1]

    def get_urls(self):
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", revoke, name="tokens_issuedtoken_revoke"),
            *super().get_urls(),
        ]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return queryset.filter(_search(search_term)), False

    def response_action(self, request, queryset):
        try:
            return super().response_action(request, queryset)
        except ValidationError:
            raise BadRequest("The selection holds what is no device id.") from None

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        """Rows go by purge; a user can still be deleted, which takes their devices along."""
        return False

    def has_purge_permission(self, request):
        return request.user.has_perm("tokens.delete_issuedtoken")

    def revoke_view(self, request, object_id):
        device = self.get_object(request, object_id)
        if device is None:
            raise Http404
        if not request.user.may_touch(device.user):
            raise PermissionDenied
        back = reverse("admin:tokens_issuedtoken_change", args=[device.pk])
        devices = IssuedToken.objects.filter(pk=device.pk)
        return self.confirm_revoke(request, devices, back=back, user=device.user)

    @admin.action(description="Revoke the selected devices", permissions=["revoke"])
    def revoke_selected(self, request, queryset):
        devices = IssuedToken.objects.filter(pk__in=queryset.order_by().values("pk"))
        return self.confirm_revoke(request, devices, back=request.get_full_path())

    @admin.action(
        description="Purge the selected devices that ended long ago", permissions=["purge"]
    )
    def purge_selected(self, request, queryset):
        devices = IssuedToken.objects.filter(pk__in=queryset.order_by().values("pk"))
        purged = sum(flows.purge(devices))
        messages.success(request, f"{purged} devices past their retention were purged.")

    @admin.display(description="device")
    def client(self, device):
        return str(device)

    @admin.display(description="user")
    def owner(self, device):
        url = reverse("admin:accounts_user_change", args=[device.user_id])
        return format_html('<a href="{}">{}</a>', url, device.user)

    @admin.display(description="state")
    def shown_state(self, device):
        reason = device.ended_reason
        label = IssuedToken.Reason(reason).label if reason else ""
        return f"{device.state}: {label}" if label else device.state

    @admin.display(description="address")
    def address(self, device):
        return " · ".join(filter(None, [device.last_ip, device.location])) or "-"

    @admin.display(description="told to the person")
    def told(self, device):
        return device.ended_note or "-"

    @admin.display(description="last seen")
    def last_seen(self, device):
        return _ago(device.last_seen_at, device.now)

    @admin.display(description="signed in", ordering="created_at")
    def signed_in(self, device):
        return _ago(device.created_at, device.now)

    @admin.display(description="revoke")
    def revoke(self, device):
        if device.state != State.LIVE:
            return ""
        return _revoke_link(device)


@admin.register(User)
class UserWithDevicesAdmin(RevokePages, UserAdmin):
    """A person's account, with where they are signed in."""

    fieldsets = [*UserAdmin.fieldsets, ("Devices", {"fields": ["devices"]})]
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
                _ago(device.last_seen_at, device.now),
                _revoke_link(device) if user.shows_revoke else "",
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


def _search(term: str) -> Q:
    """What support types: an id, an address, a network, or the start of a name or e-mail."""
    term = term.strip()
    try:
        return Q(pk=uuid.UUID(term))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(term.partition("%")[0], strict=False)
    except ValueError:
        return Q(user__in=User.objects.starting_with(term).values("pk"))
    if network.num_addresses == 1:
        address = str(network.network_address)
        return Q(ip_address=address) | Q(last_ip=address)
    return Q(ip_address__within=network) | Q(last_ip__within=network)


def _held(request) -> list[tuple[str, str]]:
    """The fields that the confirmation sends along: which action, on what."""
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _log_revoked(request, devices, note: str) -> None:
    """One line in the history of each device."""
    message = f"Revoked: {note}" if note else "Revoked."
    LogEntry.objects.log_actions(request.user.pk, devices, CHANGE, change_message=message)


def _ago(time: datetime, now: datetime) -> str:
    """ "3 hours ago", with the exact time on hover."""
    text = (
        "just now" if now - time < timedelta(minutes=1) else f"{timesince(time, now, depth=1)} ago"
    )
    exact = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', time.isoformat(), exact, text)


def _revoke_link(device: IssuedToken) -> str:
    return format_html(
        '<a class="revoke" href="{}" aria-label="Revoke {} of {}">Revoke</a>',
        reverse("admin:tokens_issuedtoken_revoke", args=[device.pk]),
        device,
        device.user,
    )
