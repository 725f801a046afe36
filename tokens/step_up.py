"""Step-up in the admin: the password in the same form, when the last one here is old."""

from typing import Any

from django.contrib import admin
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.deprecation import MiddlewareMixin

from accounts.hashers import Busy
from tokens import flows
from tokens.forms import StepUpForm
from tokens.middleware import get_device, unavailable
from tokens.receivers import keep_handle

FIELD = "step_up_password"


class StepUpMiddleware(MiddlewareMixin):
    """Ask for the password before staff write users or roles in the admin."""

    def process_view(self, request, view_func, view_args, view_kwargs):
        match = request.resolver_match
        if match.app_names != ["admin"] or not (match.url_name or "").startswith("accounts_"):
            return None
        try:
            return ask_for_password(request)
        except (OperationalError, InterfaceError, Busy) as error:
            # UnavailableMiddleware hears of views alone.
            return unavailable(request, error)


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
