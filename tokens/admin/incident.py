"""The incident page: staff describe devices of many people, look at them, then end them."""

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import Role
from tokens.admin.filters import OSFilter
from tokens.client import parse_network
from tokens.models import IssuedToken
from tokens.user_agents import CLIENT_LENGTH


class NetworkField(forms.CharField):
    """An IP address or a CIDR block, as a network of `ipaddress`; None if empty."""

    def to_python(self, value):
        text = super().to_python(value)
        if not text:
            return None
        try:
            return parse_network(text)
        except ValueError:
            raise ValidationError("Write an IP address or a network, 203.0.113.0/24.") from None


def moment_field(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=f"{label} (UTC)", required=False, widget=widget)


class IncidentForm(forms.Form):
    """What the devices of an incident have in common."""

    network = NetworkField(
        label="Address or network",
        required=False,
        help_text="Signed in from it, or last seen there: 203.0.113.7 or 203.0.113.0/24",
    )
    signed_in_after = moment_field("Signed in at or after")
    signed_in_before = moment_field("Signed in before")
    not_seen_since = moment_field("Not seen since")
    os = forms.ChoiceField(
        label="OS",
        required=False,
        choices=[("", "Any"), *((name, name) for name in OSFilter.names)],
    )
    client = forms.CharField(
        label="Client",
        max_length=CLIENT_LENGTH,
        required=False,
        help_text="As the list names it: Firefox",
    )
    method = forms.ChoiceField(
        label="Signed in by", required=False, choices=[("", "Any"), *IssuedToken.Method.choices]
    )
    role = forms.ModelChoiceField(
        Role.objects.all(),
        to_field_name="name",
        required=False,
        empty_label="Any",
        help_text="Of people who have this role",
    )
    everybody = forms.BooleanField(
        label="Every device of everybody",
        label_suffix="",
        required=False,
        help_text="All that are live. Stands alone: leave the other fields empty",
    )

    def clean_role(self):
        role = self.cleaned_data["role"]
        return role and role.name

    def clean(self):
        criteria = self.criteria()
        everybody = self.cleaned_data.get("everybody")
        if not self.errors and bool(criteria) == bool(everybody):
            raise ValidationError(
                "Every device of everybody stands alone: leave the other fields empty."
                if everybody
                else "Say which devices: fill in at least one field."
            )
        return self.cleaned_data

    def criteria(self) -> dict[str, object]:
        """The fields that were filled in, as `IssuedTokenQuerySet.matching()` takes them."""
        filled = {name: value for name, value in self.cleaned_data.items() if value}
        filled.pop("everybody", None)
        return filled


class IncidentPage:
    """The page that finds devices by what they have in common, and then ends them.

    The criteria are in the URL, so staff can send a dry run to a colleague. The confirmation is
    the same as for every other revocation.
    """

    def incident_view(self, request):
        form = IncidentForm(request.GET or None)
        devices = IssuedToken.objects.none()
        if form.is_valid():
            devices = IssuedToken.objects.matching(**form.criteria())
        return self.confirm_revoke(
            request,
            devices,
            back=reverse("admin:tokens_issuedtoken_changelist"),
            reason=IssuedToken.Reason.INCIDENT,
            title="Incident: find devices and end them",
            incident=form,
        )
