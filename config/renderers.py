"""The pages of the browsable API: a field for each member of a body, and links to each row."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.urls import NoReverseMatch, reverse
from rest_framework import exceptions, renderers, serializers

from accounts.exceptions import PasskeyRequired

# By the view of a page: the view that its rows link to, what names a row there, and the words.
LINKS = {
    "devices": ("device", "id", "{}"),
    "users": ("user", "username", "{}"),
    "user": ("user-devices", "username", "Devices of {}"),
    "passkeys": ("passkey", "id", "{}"),
    "user-devices": ("user-device-revoke", "id", "Revoke {}"),
    "roles": ("role", "name", "{}"),
}


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """DRF's pages for an API whose bodies are JSON alone.

    DRF shows fields only where forms are accepted, and a text area with JSON otherwise. Here the
    form has fields, and `browsable-api.js` sends them as JSON. It never validates what was sent,
    because that would count a wrong password a second time. An object, such as the answer of a
    passkey, is for programs: it has no field, and a body that needs one has no form.
    """

    renderer_context: dict[str, Any]  # set by `render()`

    def get_context(self, data, accepted_media_type, renderer_context):
        context = super().get_context(data, accepted_media_type, renderer_context)
        if not renderer_context["response"].exception:
            links = links_from(renderer_context["request"], data)
        elif data.get("code") == PasskeyRequired.default_code:
            way_back = urlencode({"next": renderer_context["request"].get_full_path()})
            links = [("Use your passkey", f"{reverse('passkeys')}?{way_back}")]
        else:
            links = []
        return context | {"links": links}

    def get_raw_data_form(self, data, view, method, request):
        if super().get_raw_data_form(data, view, method, request) is None:
            return None
        form = forms.Form(initial=self.values(data, method, request))
        if hasattr(view, "get_serializer"):
            members = {k: f for k, f in view.get_serializer().fields.items() if not f.read_only}
            typed = {k: f for k, f in members.items() if not isinstance(f, serializers.DictField)}
            if any(field.required for name, field in members.items() if name not in typed):
                return None
            form.fields = {name: form_field(field) for name, field in typed.items()}
        return form

    def values(self, data, method: str, request) -> dict[str, Any]:
        """What was sent if it was refused. Otherwise a form for a change shows what there is."""
        if not self.renderer_context["response"].exception:
            return {} if method == "POST" else data
        with suppress(exceptions.APIException):
            return request.data if method == request.method else {}
        return {}


def links_from(request, data) -> list[tuple[str, str]]:
    """The words and the address of each link."""
    match = request.resolver_match
    if request.method != "GET" or match.url_name not in LINKS:
        return []
    view, key, words = LINKS[match.url_name]
    links = []
    for row in data.get("results", [data]):
        with suppress(NoReverseMatch):  # an old username that no URL may have
            url = reverse(f"api:{view}", kwargs={**match.kwargs, key: row[key]})
            links.append((words.format(title(row)), url))
    return links


def title(row) -> str:
    words = row.get("username") or row["name"] or row["label"]
    return f"{words} (this device)" if row.get("is_current") else words


def form_field(field: serializers.Field) -> forms.Field:
    """The field of a form for the field of a body."""
    shown: dict[str, Any] = {
        "label": field.label,
        "help_text": field.help_text or "",
        "required": field.required and not getattr(field, "allow_blank", False),
    }
    if isinstance(field, serializers.BooleanField):
        return forms.BooleanField(initial=field.default, **shown)
    is_password = field.style.get("input_type") == "password"
    return forms.CharField(widget=forms.PasswordInput if is_password else None, **shown)
