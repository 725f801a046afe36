"""The pages of *Your devices*: the list, and renaming and ending a device."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models.functions import Now
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View

from tokens import flows, notices, stories
from tokens.forms import RenameForm
from tokens.models import IssuedToken, State
from tokens.step_up import StepUpForm, renew

PAGE_SIZE = 20
MAX_ENDED = 50


@method_decorator(login_required, name="dispatch")
class DevicesView(View):
    def get(self, request):
        devices = request.device.user.devices.with_state()
        others = devices.in_state(State.LIVE).exclude(pk=request.device.pk)
        page = Paginator(others.order_by("-last_seen_at", "-pk"), PAGE_SIZE).get_page(
            request.GET.get("page")
        )
        context = {
            "current": devices.get(pk=request.device.pk),
            "others": page,
            "is_choice": page.paginator.count > 1,
            "ended": devices.ended_since(Now() - settings.DEVICE_RETENTION)[:MAX_ENDED],
            "retention": stories.in_words(settings.DEVICE_RETENTION),
            "rename_form": RenameForm(),
        }
        return render(request, "devices/list.html", context)


@method_decorator(login_required, name="dispatch")
class RenameView(View):
    def get(self, request, id):
        """Somebody comes here from the sign-in page, because their device ended meanwhile."""
        messages.warning(request, "You were signed out before the name was saved. Type it again.")
        return redirect("devices")

    def post(self, request, id):
        device = get_device(request, id)
        form = RenameForm(request.POST)
        if form.is_valid():
            name = form.cleaned_data["name"]
            IssuedToken.objects.filter(pk=device.pk).update(name=name)
            messages.success(request, f"Renamed to {name or device.label}.")
        else:
            messages.error(request, "A name has at most 64 characters.")
        return redirect("devices")


@method_decorator(login_required, name="dispatch")
class SignOutView(View):
    """Confirm and end one device. The form asks for the password if the last one is old."""

    def get(self, request, id):
        device = get_device(request, id)
        return self._page(request, device, StepUpForm(device=request.device))

    def post(self, request, id):
        device = get_device(request, id)
        form = StepUpForm(request.POST, device=request.device)
        if not form.is_valid():
            return self._page(request, device, form)
        renew(request, form)
        flows.end_own_device(request.device, device)
        messages.success(request, f"{device} was signed out.")
        return redirect("devices")

    def _page(self, request, device: IssuedToken, form: StepUpForm):
        context = {"devices": [device], "device": device, "form": form}
        return form.mark(render(request, "devices/sign_out.html", context))


@method_decorator(login_required, name="dispatch")
class SignOutOthersView(View):
    """Confirm and end all other devices. The form is the same as for one device."""

    title = "Sign out all other devices"
    nothing_left = "You are not signed in anywhere else."

    def get(self, request):
        return self._page(request, StepUpForm(device=request.device))

    def post(self, request):
        form = StepUpForm(request.POST, device=request.device)
        if not form.is_valid():
            return self._page(request, form)
        renew(request, form)
        ended = flows.log_out_others(request.device, self.chosen(request))
        if ended:
            word = "1 device was" if ended == 1 else f"{ended} devices were"
            messages.success(request, f"{word} signed out.")
        else:
            messages.info(request, self.nothing_left)
        return redirect("devices")

    def chosen(self, request: Any) -> set[uuid.UUID] | None:
        """The ids of the devices to end. None means all others."""
        return None

    def _page(self, request, form: StepUpForm):
        devices = request.device.user.devices.with_state().in_state(State.LIVE)
        others = devices.exclude(pk=request.device.pk).order_by("-last_seen_at")
        chosen = self.chosen(request)
        if chosen is not None:
            others = others.filter(pk__in=chosen)
        context = {"devices": others, "form": form, "view": self}
        return form.mark(render(request, "devices/sign_out.html", context))


@method_decorator(login_required, name="dispatch")
class SignOutChosenView(SignOutOthersView):
    """Confirm and end the devices that are ticked in the list. The address holds their ids.

    Ids of anything but the person's own devices are ignored.
    """

    title = "Sign out these devices"
    nothing_left = "Those devices are signed out already."

    def dispatch(self, request, *args, **kwargs):
        if not self.chosen(request):
            messages.warning(request, "Tick the devices that you want to sign out.")
            return redirect("devices")
        return super().dispatch(request, *args, **kwargs)

    def chosen(self, request):
        return set(filter(None, map(read_id, request.GET.getlist("id"))))


class NotMeView(View):
    """The page behind "This wasn't me" in a mail: GET shows the device, POST ends it.

    The link ends only that device. It works without signing in, and it signs nobody in.
    """

    def get(self, request, token):
        device = notices.read_not_me(token).with_state().first()
        status = 200 if device else 400
        return render(request, "devices/not_me.html", {"device": device}, status=status)

    def post(self, request, token):
        device = notices.read_not_me(token).select_related("user").first()
        if device is not None:
            flows.end_by_mail(device)
        return self.get(request, token)


def get_device(request: Any, id: uuid.UUID) -> IssuedToken:
    """The person's own device with that id. Raise Http404 for any other."""
    device = request.device.user.devices.with_state().filter(pk=id).first()
    if device is None:
        raise Http404
    return device


def read_id(text: str) -> uuid.UUID | None:
    """The id, or None if the text is not one."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
