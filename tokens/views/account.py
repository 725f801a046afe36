"""The pages of an account: confirm its email address, download its data, delete it."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.exceptions import NotAuthenticated

from accounts.exceptions import EmailTaken, UsernameTaken
from accounts.history import OF_OWN_NAMES
from accounts.models import User
from accounts.names import change_names
from accounts.serializers import UserSerializer
from accounts.verification import send_verification
from tokens import flows
from tokens.forms import NamesForm
from tokens.models import IssuedToken
from tokens.notices import origin_of
from tokens.step_up import StepUpForm, renew

# The columns that say something about the person. The others name users, or hold hashes and times
# by which the row recognises its own tokens.
DEVICE_FIELDS = [
    field.name
    for field in IssuedToken._meta.concrete_fields
    if field.name not in {"user", "hash", "attempt_hash", "password_epoch", "revoked_by"}
]


@method_decorator(login_required, name="dispatch")
class AccountView(View):
    def get(self, request):
        return render(request, "accounts/account.html")

    def post(self, request):
        """Mail the link that confirms the email address again."""
        user = request.user
        if user.email and not user.email_verified_at:
            send_verification(user, user.email)
            messages.success(request, f"A link is on its way to {user.email}.")
        return redirect("account")


@method_decorator(login_required, name="dispatch")
class NamesView(View):
    """Change the username or the email address, as `PATCH /api/v1/me` does."""

    def get(self, request):
        names = {"username": request.user.username, "email": request.user.email}
        return self._page(request, NamesForm(initial=names, device=request.device))

    def post(self, request):
        form = NamesForm(request.POST, device=request.device)
        if form.is_valid() and self._change(request, form):
            return redirect("account")
        return self._page(request, form)

    def _change(self, request, form: NamesForm) -> bool:
        """Change what differs, and tell the person. Put an error on the form if it is taken."""
        user = User.objects.filter(pk=request.user.pk).first()
        if user is None:
            raise flows.Refused("token_invalid")
        changes = {
            name: form.cleaned_data[name]
            for name in ("username", "email")
            if form.cleaned_data[name] != getattr(user, name)
        }
        try:
            change_names(
                user,
                **changes,
                address=request.META.get("REMOTE_ADDR", ""),
                device=request.device.pk,
                origin=origin_of(request.device),
            )
        except UsernameTaken as taken:
            form.add_error("username", str(taken.detail))
        except EmailTaken as taken:
            form.add_error("email", str(taken.detail))
        except NotAuthenticated:
            raise flows.Refused("token_invalid") from None
        else:
            self._tell(request, changes)
        return not form.errors

    def _tell(self, request, changes: dict[str, str]) -> None:
        if "username" in changes:
            messages.success(request, f"Your username is {changes['username']} from now on.")
        if "email" in changes:
            sent = f"A link is on its way to {changes['email']}."
            messages.success(request, f"{sent} Your address changes once you open it.")
        if not changes:
            messages.info(request, "Nothing was changed.")

    def _page(self, request, form: NamesForm):
        return form.mark(render(request, "accounts/names.html", {"form": form}))


@method_decorator(login_required, name="dispatch")
class DataView(View):
    """Everything that is stored about the person, as JSON, after a step-up."""

    def get(self, request):
        form = StepUpForm(device=request.device)
        return render(request, "accounts/data.html", {"form": form})

    def post(self, request):
        form = StepUpForm(request.POST, device=request.device)
        if not form.is_valid():
            return form.mark(render(request, "accounts/data.html", {"form": form}))
        renew(request, form)
        headers = {"Content-Disposition": 'attachment; filename="guestlist-data.json"'}
        return JsonResponse(data_of(request.user), headers=headers, json_dumps_params={"indent": 2})


@method_decorator(login_required, name="dispatch")
class DeleteView(View):
    """Delete the account and all its devices. This always asks for the password."""

    def get(self, request):
        return self._page(request, StepUpForm(device=request.device, always=True))

    def post(self, request):
        form = StepUpForm(request.POST, device=request.device, always=True)
        if not form.is_valid():
            return self._page(request, form)
        user = User.objects.filter(pk=request.user.pk).first()
        if user is None:
            raise flows.Refused("token_invalid")
        if user.is_last_superuser():
            form.add_error(None, "You are the last superuser, who cannot be removed.")
        elif LogEntry.objects.filter(user=user).exclude(OF_OWN_NAMES).exists():
            form.add_error(None, "What you did as staff stays on record: ask to be deactivated.")
        if form.errors:
            return self._page(request, form)
        user.origin = origin_of(request.device)
        logout(request)
        user.delete()
        messages.success(request, "Your account and everything in it is gone.")
        return redirect("login")

    def _page(self, request, form: StepUpForm):
        return form.mark(render(request, "accounts/delete.html", {"form": form}))


def data_of(user: User) -> dict[str, Any]:
    """What the database holds about a person, except the password and hashes."""
    return {
        "account": {
            **UserSerializer(user).data,
            "is_active": user.is_active,
            "is_staff": user.is_staff,
            "email_verified_at": user.email_verified_at,
            "password_changed_at": user.password_changed_at,
            "last_login": user.last_login,
        },
        "devices": list(user.devices.order_by("-created_at").values(*DEVICE_FIELDS)),
        "passkeys": list(
            user.passkeys.order_by("created_at").values("id", "name", "created_at", "used_at")
        ),
        "administration": list(
            LogEntry.objects.filter(user=user).values(
                "action_time", "object_repr", "change_message"
            )
        ),
    }
