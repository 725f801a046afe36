"""Step-up: a form, pages and an admin site that ask for the password, or a passkey, again.

They ask if the last one is old, or each time, as a proof in the act.
"""

from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.forms import ProvenForm
from accounts.throttling import in_words
from tokens import flows
from tokens.browser import get_device, hold_note, keep_handle

# Each holds a password, next to the fields of the request itself.
FIELD = "step_up_password"
PROOF_FIELD = "current_password"
PASSKEY_FIELD = "passkey"


class StepUpForm(ProvenForm, forms.Form):
    """A confirmation. It asks for the password, or a passkey, if the last one here is old.

    With `always`, it asks in any case.
    """

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args, device, always=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.device = device
        if not always and device.is_fresh():
            del self.fields["password"]
            return
        self.let_passkey_stand_for("password")
        if not always:
            self.fields["password"].help_text = _last_given()
        self.offer_passkey("password", device.user)

    def clean_password(self):
        password = self.cleaned_data["password"]
        self.prove(password, self.device.user, device=self.device.pk)
        return password


def renew(request: Any, form: StepUpForm) -> None:
    """Make the device of the request fresh, if the valid form asked for the password.

    Raise Refused if the device ended meanwhile.
    """
    if "password" in form.fields:
        device = request.device
        by_passkey = form.has_passkey()
        keep_handle(request, flows.reauthenticate(device, device.user, by_passkey=by_passkey))


def ask_for_password(request: HttpRequest) -> HttpResponse | None:
    """A page that asks for the password, or None if the request may go on.

    The page holds the fields of the request and sends them again, so that nothing typed is lost.
    Raise Refused if the device ended meanwhile.
    """
    device = get_device(request)
    if request.method != "POST" or device is None or device.is_fresh():
        return None
    # The password that a form of its own asks for is as good.
    form = _form(request, PROOF_FIELD if request.POST.get(PROOF_FIELD) else FIELD)
    if form.is_valid():
        request.is_proven = by_passkey = form.has_passkey()  # type: ignore[attr-defined]
        keep_handle(request, flows.reauthenticate(device, device.user, by_passkey=by_passkey))
        return None
    return _page(request, form, FIELD, f"{_last_given()} Give it again to go on.")


def ask_for_proof(request: HttpRequest, act: str) -> HttpResponse | None:
    """A page that asks for the password for `act`, or None if the POST has the right one.

    It asks each time. `act` ends a sentence: "end the devices of everybody".
    """
    form = _form(request, PROOF_FIELD, always=True)
    if form.is_valid():
        return None
    return _page(request, form, PROOF_FIELD, f"To {act}, give your password each time.")


def _last_given() -> str:
    age = in_words(int(settings.STEP_UP_MAX_AGE.total_seconds()))
    return f"You last gave it on this device more than {age} ago, or somewhere else."


def _form(request: HttpRequest, field: str, **options: bool) -> StepUpForm:
    names = {field: "password", PASSKEY_FIELD: "passkey"}
    data = {names[name]: request.POST[name] for name in names if name in request.POST}
    return StepUpForm(data or None, device=get_device(request), **options)


def _page(request: HttpRequest, form: StepUpForm, field: str, asks: str) -> HttpResponse:
    """The page with the form. It holds all other fields of the request."""
    held = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in (FIELD, PROOF_FIELD, PASSKEY_FIELD, "csrfmiddlewaretoken")
        for value in values
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Your password, please",
        "held": held,
        "field": field,
        "passkey_url": form.fields["password"].widget.attrs.get("data-passkey"),
        "errors": form.errors.get("password"),
        "asks": asks,
    }
    return form.mark(TemplateResponse(request, "admin/step_up.html", context))


class StepUpSite(admin.AdminSite):
    """An admin site that asks for the password before staff change people, roles or throttles."""

    def admin_view(self, view, cacheable=False):
        @wraps(view)
        def ask_first(request, *args, **kwargs):
            asks = (request.resolver_match.url_name or "").startswith("accounts_")
            return (asks and ask_for_password(request)) or view(request, *args, **kwargs)

        admin_view = super().admin_view(ask_first, cacheable)

        @wraps(admin_view)
        def hold_note_first(request, *args, **kwargs):
            if request.method == "POST" and not self.has_permission(request):
                hold_note(request)
            return admin_view(request, *args, **kwargs)

        return hold_note_first
