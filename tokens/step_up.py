"""Step-up: a form, pages and an admin site that ask for the password, or a passkey, again.

They ask if the last one is old, or each time, as a proof in the act.
"""

import logging
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.forms import ProvenForm
from accounts.throttling import in_words
from tokens import flows
from tokens.browser import get_device, hold_note, keep_handle

logger = logging.getLogger(__name__)

# Each holds a password, next to the fields of the request itself.
FIELD = "step_up_password"
PROOF_FIELD = "current_password"
PASSKEY_FIELD = "passkey"
GO_BACK = "go_back"  # on a page that took the place of a GET
PASSWORD_PAGE, PLEASE = "admin/step_up.html", "Your password, please"
DOES_NOT_COUNT = (
    "This passkey was added with a password alone, so it does not count for staff. Ask a superuser "
    "for a link, and add one with that."
)


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
        keep_handle(request, flows.reauthenticate(device, device.user, form.used_passkey))


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
        request.is_proven = form.has_passkey()  # type: ignore[attr-defined]
        keep_handle(request, flows.reauthenticate(device, device.user, form.used_passkey))
        return None
    asks = f"{_last_given()} Give it again to go on."
    return _page(request, form, PASSWORD_PAGE, PLEASE, field=FIELD, asks=asks)


def ask_for_proof(request: HttpRequest, act: str) -> HttpResponse | None:
    """A page that asks for the password for `act`, or None if the POST has the right one.

    It asks each time. `act` ends a sentence: "end the devices of everybody".
    """
    form = _form(request, PROOF_FIELD, always=True)
    if form.is_valid():
        return None
    asks = f"To {act}, give your password each time."
    return _page(request, form, PASSWORD_PAGE, PLEASE, field=PROOF_FIELD, asks=asks)


def ask_for_passkey(request: HttpRequest) -> HttpResponse | None:
    """A page (403) that asks staff for a passkey, or None if they may act on this device.

    Like `ask_for_password()` it holds the fields of the request. Raise Refused if the device ended
    meanwhile.
    """
    device = get_device(request)
    if device is None or not device.user.holds_back():
        return None
    form = StaffPasskeyForm(request)
    if form.is_valid():
        renew(request, form)
        request.is_proven = True  # type: ignore[attr-defined]
        return redirect(request.get_full_path()) if GO_BACK in request.POST else None
    logger.info("request refused", extra={"status": 403, "code": "passkey_required"})
    context = {"has_passkey": device.user.passkeys.filter(vouched=True).exists()}
    return _page(request, form, "admin/passkey.html", "Your passkey, please", status=403, **context)


class StaffPasskeyForm(StepUpForm):
    """Takes a passkey that counts for staff, and no password."""

    def __init__(self, request: HttpRequest) -> None:
        answer = {name: request.POST[name] for name in [PASSKEY_FIELD] if name in request.POST}
        super().__init__(answer or None, device=get_device(request), always=True)

    def clean_password(self):
        password = super().clean_password()
        if self.used_passkey and not self.used_passkey.vouched:
            raise ValidationError(DOES_NOT_COUNT)
        return password


def _last_given() -> str:
    age = in_words(int(settings.STEP_UP_MAX_AGE.total_seconds()))
    return f"You last gave it on this device more than {age} ago, or somewhere else."


def _form(request: HttpRequest, field: str, **options: bool) -> StepUpForm:
    names = {field: "password", PASSKEY_FIELD: "passkey"}
    data = {names[name]: request.POST[name] for name in names if name in request.POST}
    return StepUpForm(data or None, device=get_device(request), **options)


def _page(
    request: HttpRequest,
    form: StepUpForm,
    template: str,
    title: str,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    """The page with the form. It holds all other fields of the request."""
    held = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in (FIELD, PROOF_FIELD, PASSKEY_FIELD, "csrfmiddlewaretoken")
        for value in values
    ]
    context = {
        **admin.site.each_context(request),
        "title": title,
        "held": held,
        "passkey_url": form.fields["password"].widget.attrs.get("data-passkey"),
        "errors": form.errors.get("password"),
        **more,
    }
    return form.mark(TemplateResponse(request, template, context, status=status))


class StepUpSite(admin.AdminSite):
    """An admin site that asks for the password before staff change people, roles or throttles.

    Where staff need a passkey, it asks for that before anything else.
    """

    def admin_view(self, view, cacheable=False):
        @wraps(view)
        def ask_first(request, *args, **kwargs):
            asks = (request.resolver_match.url_name or "").startswith("accounts_")
            page = ask_for_passkey(request) or (asks and ask_for_password(request))
            return page or view(request, *args, **kwargs)

        admin_view = super().admin_view(ask_first, cacheable)

        @wraps(admin_view)
        def hold_note_first(request, *args, **kwargs):
            if request.method == "POST" and not self.has_permission(request):
                hold_note(request)
            return admin_view(request, *args, **kwargs)

        return hold_note_first
