"""Step-up: a form, a page and an admin site that ask for the password if the last one is old."""

from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.forms import ThrottledForm
from accounts.throttling import check_password, in_words
from tokens import flows
from tokens.browser import get_device, keep_handle

FIELD = "step_up_password"  # holds the password, next to the fields of the request itself


class StepUpForm(ThrottledForm, forms.Form):
    """A confirmation. It asks for the password if the last one on this device is old.

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
        elif not always:
            age = in_words(int(settings.STEP_UP_MAX_AGE.total_seconds()))
            last = f"You last gave it on this device more than {age} ago."
            self.fields["password"].help_text = last

    def clean_password(self):
        password = self.cleaned_data["password"]
        with self.throttled():
            if not check_password(self.device.user, password, device=self.device.pk):
                raise ValidationError("This is not your password.")
        return password


def renew(request: Any, form: StepUpForm) -> None:
    """Make the device of the request fresh, if the valid form asked for the password.

    Raise Refused if the device ended meanwhile.
    """
    if "password" in form.fields:
        device = request.device
        keep_handle(request, flows.reauthenticate(device, device.user))


def ask_for_password(request: HttpRequest) -> HttpResponse | None:
    """A page that asks for the password, or None if the request may go on.

    The page holds the fields of the request and sends them again, so that nothing typed is lost.
    Raise Refused if the device ended meanwhile.
    """
    device = get_device(request)
    if request.method != "POST" or device is None or device.is_fresh():
        return None
    given = request.POST.get(FIELD)
    form = StepUpForm(None if given is None else {"password": given}, device=device)
    if form.is_valid():
        keep_handle(request, flows.reauthenticate(device, device.user))
        return None
    held = [
        (name, value)
        for name, values in request.POST.lists()
        if name not in (FIELD, "csrfmiddlewaretoken")
        for value in values
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Your password, please",
        "held": held,
        "field": FIELD,
        "errors": form.errors.get("password"),
        "asks": form.fields["password"].help_text,
    }
    return form.mark(TemplateResponse(request, "admin/step_up.html", context))


class StepUpSite(admin.AdminSite):
    """An admin site that asks for the password before staff change people, roles or throttles."""

    def admin_view(self, view, cacheable=False):
        @wraps(view)
        def ask_first(request, *args, **kwargs):
            asks = (request.resolver_match.url_name or "").startswith("accounts_")
            return (asks and ask_for_password(request)) or view(request, *args, **kwargs)

        return super().admin_view(ask_first, cacheable)
