"""Step-up in the admin: the password in the same form, when the last one here is old."""

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


class StepUpForm(ThrottledForm, forms.Form):
    """A confirmation, with the password when the last one on this device is old."""

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


FIELD = "step_up_password"


def renew(request: Any, form: StepUpForm) -> None:
    """Make the device of the request fresh if the form asked for the password and got it.

    Raise Refused if the device ended meanwhile.
    """
    if "password" in form.fields:
        device = request.device
        keep_handle(request, flows.reauthenticate(device, device.user))


def ask_for_password(request: HttpRequest) -> HttpResponse | None:
    """A page that asks for the password and repeats the request, or None when none is needed.

    The page carries along what the form held, so that nothing typed is lost.
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
    """The admin, which asks for the password before staff write people or roles."""

    def admin_view(self, view, cacheable=False):
        @wraps(view)
        def ask_first(request, *args, **kwargs):
            asks = (request.resolver_match.url_name or "").startswith("accounts_")
            return (asks and ask_for_password(request)) or view(request, *args, **kwargs)

        return super().admin_view(ask_first, cacheable)
