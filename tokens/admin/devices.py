"""The admin's list of devices, and the page of one device."""

from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Q, Value
from django.http import Http404
from django.template.defaultfilters import pluralize
from django.urls import path, reverse
from django.utils.html import format_html

from accounts.admin.lists import LargeChangeList, LargeListAdmin
from tokens import flows, stories
from tokens.admin.display import ago, revoke_link, story
from tokens.admin.export import csv_response, json_response
from tokens.admin.filters import OSFilter, ReasonFilter, StateFilter, search
from tokens.admin.incident import IncidentPage
from tokens.admin.revocation import RevokePages
from tokens.forms import DeviceForm
from tokens.models import IssuedToken, State
from tokens.step_up import ask_for_proof

# Expired devices: the last to expire comes first. Idle devices: the next to expire comes first.
ORDERING_BY_END = {State.EXPIRED: ["-expires_at", "-id"], State.IDLE: ["expires_at", "id"]}


class DeviceChangeList(LargeChangeList):
    """Hands its filters to each device, so that the link to revoke it can lead back to them."""

    def get_results(self, request):
        super().get_results(request)
        for device in self.result_list:
            device.list_filters = self.preserved_filters


@admin.register(IssuedToken)
class DeviceAdmin(IncidentPage, RevokePages, LargeListAdmin):
    """All devices. Staff can edit only the name.

    Revoke ends a device, and its row stays. Only purge deletes rows.
    """

    form = DeviceForm
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
    list_filter = [StateFilter, "kind", OSFilter, "created_at", ("revoked_reason", ReasonFilter)]
    extra_lookups = ["user__id__exact"]  # the link from a user's page
    ordering = ["-created_at", "-id"]
    search_fields = ["id"]
    search_help_text = "Username, email address, IP address or network, or device id"
    actions = ["revoke_selected", "export_csv", "export_json", "purge_selected"]
    fieldsets = [
        (None, {"fields": ["name", "client", "owner", "kind", "shown_state", "revoke"]}),
        ("Story", {"fields": ["story", "told"]}),
        (
            "Where and when (UTC)",
            {
                "fields": [
                    "id",
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
    ]

    def get_queryset(self, request):
        """Devices with their state, and with `touchable`.

        It says whether this member of staff may touch the user of the device.
        """
        touchable = Q(user__is_superuser=False) | Q(Value(request.user.is_superuser))
        return super().get_queryset(request).with_state().annotate(touchable=touchable)

    def get_ordering(self, request):
        """The newest sign-in first; expired and idle devices in the order of their end.

        Both orders have an index. The newest devices are live, so with the newest first the
        database would read all live ones before it finds an expired one.
        """
        return ORDERING_BY_END.get(request.GET.get("state"), self.ordering)

    def get_sortable_by(self, request):
        return [] if request.GET.get("state") in ORDERING_BY_END else ["signed_in"]

    def get_fieldsets(self, request, obj=None):
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or (obj.state == State.LIVE and self.may_revoke(request, obj.user)):
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

    def get_changelist(self, request, **kwargs):
        return DeviceChangeList

    def get_urls(self):
        incident = self.admin_site.admin_view(self.incident_view)
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("incident/", incident, name="tokens_issuedtoken_incident"),
            path("<path:object_id>/revoke/", revoke, name="tokens_issuedtoken_revoke"),
            *super().get_urls(),
        ]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return search(request, queryset, search_term), False

    def response_action(self, request, queryset):
        try:
            return super().response_action(request, queryset)
        except ValidationError:
            raise BadRequest("The selection holds what is no device id.") from None

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or request.user.may_touch(obj.user))

    def has_delete_permission(self, request, obj=None):
        """False, because only purge deletes devices. Deleting a user also deletes their devices."""
        return False

    def has_purge_permission(self, request):
        return request.user.has_perm("tokens.delete_issuedtoken")

    def revoke_view(self, request, object_id):
        device = self.get_object(request, object_id)
        if device is None:
            raise Http404
        if not request.user.may_touch(device.user):
            raise PermissionDenied
        filters = self.get_preserved_filters(request)
        if filters:
            context = {"preserved_filters": filters, "opts": self.opts}
            back = add_preserved_filters(context, reverse("admin:tokens_issuedtoken_changelist"))
        else:
            back = reverse("admin:tokens_issuedtoken_change", args=[device.pk])
        devices = IssuedToken.objects.filter(pk=device.pk)
        return self.confirm_revoke(request, devices, back=back, user=device.user)

    @admin.action(description="Revoke the selected devices", permissions=["revoke"])
    def revoke_selected(self, request, queryset):
        return self.confirm_revoke(request, queryset.order_by(), back=request.get_full_path())

    @admin.action(
        description="Purge the selected devices that ended long ago", permissions=["purge"]
    )
    def purge_selected(self, request, queryset):
        devices = IssuedToken.objects.filter(pk__in=queryset.order_by().values("pk"))
        purged = sum(flows.purge(devices))
        messages.success(
            request,
            f"Purged {purged} device{pluralize(purged)}. Only those past their retention go.",
        )

    @admin.action(description="Export the selected devices as CSV", permissions=["view"])
    def export_csv(self, request, queryset):
        return ask_for_proof(request, "export devices") or csv_response(queryset)

    @admin.action(description="Export the selected devices as JSON", permissions=["view"])
    def export_json(self, request, queryset):
        return ask_for_proof(request, "export devices") or json_response(queryset)

    @admin.display(description="client")
    def client(self, device):
        return str(device)

    @admin.display(description="user")
    def owner(self, device):
        url = reverse("admin:accounts_user_change", args=[device.user_id])
        return format_html('<a href="{}">{}</a>', url, device.user)

    @admin.display(description="state")
    def shown_state(self, device):
        if device.state != State.REVOKED:
            return f"{device.state}, another client" if device.alarm else device.state
        text = stories.ended_text(device)
        return text if text.startswith("revoked") else f"revoked: {text}"

    @admin.display(description="address")
    def address(self, device):
        return " · ".join(filter(None, [device.last_ip, device.location])) or "-"

    @admin.display(description="what happened")
    def story(self, device):
        return story(device)

    @admin.display(description="told to the person")
    def told(self, device):
        return stories.ended_note(device) or "-"

    @admin.display(description="last seen")
    def last_seen(self, device):
        return ago(device.last_seen_at, device.now)

    @admin.display(description="signed in", ordering="created_at")
    def signed_in(self, device):
        return ago(device.created_at, device.now)

    @admin.display(description="revoke")
    def revoke(self, device):
        if device.state != State.LIVE or not device.touchable:
            return ""
        return revoke_link(device, getattr(device, "list_filters", ""))
