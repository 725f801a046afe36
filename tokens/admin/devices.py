"""The admin's list of devices, and the page of one device."""

from django.contrib import admin, messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Q, Value
from django.http import Http404, QueryDict
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.urls import path, reverse

from accounts.admin.lists import LargeChangeList, LargeListAdmin
from accounts.admin.times import moment
from accounts.models import User
from tokens import flows, stories
from tokens.admin.display import ago, person, revoke_link, state, story
from tokens.admin.export import csv_response, json_response
from tokens.admin.filters import OSFilter, ReasonFilter, StateFilter, parse_term, search
from tokens.admin.incident import IncidentPage
from tokens.admin.revocation import RevokePages
from tokens.browser import get_device
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
    list_filter = [
        StateFilter,
        "kind",
        OSFilter,
        "method",
        "created_at",
        ("revoked_reason", ReasonFilter),
    ]
    extra_lookups = ["user__id__exact"]  # the link from a user's page
    ordering = ["-created_at", "-id"]
    search_fields = ["id"]
    search_help_text = "Username, email address, IP address or network, or device id"
    actions = ["revoke_selected", "export_csv", "export_json", "purge_selected"]
    fieldsets = [
        (None, {"fields": ["name", "client", "owner", "kind", "shown_state", "revoke"]}),
        ("Story", {"fields": ["story", "told"]}),
        (
            "Where and when",
            {
                "fields": [
                    "id",
                    "user_agent",
                    "signed_in_from",
                    "last_seen_from",
                    "location",
                    moment("created_at", "signed in"),
                    "method",
                    moment("authenticated_at", "password or passkey last given"),
                    moment("passkey_at", "passkey last used"),
                    moment("last_seen_at", "last seen"),
                    moment("idle_at", "idle from"),
                    moment("expires_at", "ends"),
                ]
            },
        ),
    ]

    def get_queryset(self, request):
        """Devices with their state, with `touchable` and with `is_own`.

        The first says whether this member of staff may touch the user of the device, the second
        whether they use this device now.
        """
        touchable = Q(user__is_superuser=False) | Q(Value(request.user.is_superuser))
        devices = super().get_queryset(request).with_state()
        return devices.annotate(touchable=touchable, is_own=Q(pk=get_device(request).pk))

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
        if obj is None or (self.revoke(obj) and self.has_revoke_permission(request)):
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
        find = self.admin_site.admin_view(self.find_view)
        return [
            path("find/", find, name="tokens_issuedtoken_find"),
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

    def find_view(self, request):
        """Lead to the page of the person who is meant, or to the list of all who may be."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = parse_term(request.GET.get("q", ""))
        if not isinstance(term, str) or not request.user.has_perm("accounts.view_user"):
            return _to_list("tokens_issuedtoken", request.GET.get("q", ""))
        found, _ = User.objects.first_starting_with(term, 2)
        if len(set(found)) == 1:
            return redirect("admin:accounts_user_change", found[0])
        return _to_list("accounts_user", term)

    def revoke_view(self, request, object_id):
        device = self.get_object(request, object_id)
        if device is None:
            raise Http404
        if not request.user.may_touch(device.user):
            raise PermissionDenied
        filters = self.get_preserved_filters(request)
        if "from_person" in request.GET:
            back = reverse("admin:accounts_user_change", args=[device.user_id])
        elif filters:
            context = {"preserved_filters": filters, "opts": self.opts}
            back = add_preserved_filters(context, reverse("admin:tokens_issuedtoken_changelist"))
        else:
            back = reverse("admin:tokens_issuedtoken_change", args=[device.pk])
        devices = IssuedToken.objects.filter(pk=device.pk)
        ended = None if device.state == State.LIVE else device
        return self.confirm_revoke(request, devices, back=back, user=device.user, ended=ended)

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
        return person(device.user)

    @admin.display(description="state")
    def shown_state(self, device):
        return state(device, is_own=device.is_own)

    @admin.display(description="address")
    def address(self, device):
        address = stories.address_text(device, device.last_ip)
        return " · ".join(filter(None, [address, device.location])) or "-"

    @admin.display(description="IP address")
    def signed_in_from(self, device):
        return stories.address_text(device, device.ip_address) or "-"

    @admin.display(description="last IP address")
    def last_seen_from(self, device):
        return stories.address_text(device, device.last_ip) or "-"

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
        if device.state != State.LIVE or device.is_own or not device.touchable:
            return ""
        return revoke_link(device, getattr(device, "list_filters", ""))


def _to_list(name: str, term: str):
    query = QueryDict(mutable=True)
    query["q"] = term
    return redirect(f"{reverse(f'admin:{name}_changelist')}?{query.urlencode()}")
