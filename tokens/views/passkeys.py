"""The pages of *Your passkeys*: the list, and adding, renaming and removing one."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views import View

from accounts import passkeys
from accounts.passkeys import PasskeyRefused, rp_id
from tokens.forms import PasskeyForm, RenameForm
from tokens.notices import origin_of
from tokens.step_up import StepUpForm, renew


@method_decorator(login_required, name="dispatch")
class PasskeysView(View):
    def get(self, request):
        context = {
            "passkeys": request.user.passkeys.order_by("created_at", "pk"),
            "can_have": bool(rp_id()),
        }
        return render(request, "accounts/passkeys.html", context)


@method_decorator(login_required, name="dispatch")
class AddPasskeyView(View):
    """Add a passkey on a fresh device. Another device is asked for the password first.

    So nobody makes a passkey that this site then refuses.
    """

    def get(self, request):
        device = request.device
        form = PasskeyForm() if device.is_fresh() else StepUpForm(device=device)
        return self._page(request, form)

    def post(self, request):
        device = request.device
        if not device.is_fresh():
            return self._step_up(request, StepUpForm(request.POST, device=device))
        form = PasskeyForm(request.POST)
        if form.is_valid() and self._add(request, form):
            messages.success(request, "The passkey was added. Sign in with it from now on.")
            return redirect("passkeys")
        return self._page(request, form)

    def _step_up(self, request, form: StepUpForm):
        if not form.is_valid():
            return form.mark(self._page(request, form))
        renew(request, form)
        return redirect("passkey_add")

    def _add(self, request, form: PasskeyForm) -> bool:
        device = request.device
        try:
            passkeys.register(
                device.user,
                form.cleaned_data["passkey"],
                passkeys.registration(device.pk),
                form.cleaned_data["name"],
                device=device.pk,
                origin=origin_of(device),
            )
        except PasskeyRefused as refusal:
            form.add_error(None, str(refusal))
        return not form.errors

    def _page(self, request, form: StepUpForm | PasskeyForm):
        context = {"form": form, "can_add": isinstance(form, PasskeyForm)}
        return render(request, "accounts/passkey_add.html", context)


@method_decorator(login_required, name="dispatch")
class PasskeyOptionsView(View):
    """What the browser needs to make a passkey, as JSON, for a script."""

    def post(self, request):
        purpose = passkeys.registration(request.device.pk)
        return options_of(lambda: passkeys.creation_options(request.user, purpose))


@method_decorator(login_required, name="dispatch")
class StepUpOptionsView(View):
    """What the browser needs to use a passkey of the person, in place of the password."""

    def post(self, request):
        device = request.device
        return options_of(lambda: passkeys.step_up_options(device.user, device.pk))


@method_decorator(login_required, name="dispatch")
class RenamePasskeyView(View):
    def get(self, request, id):
        """Somebody comes here from the sign-in page, because their device ended meanwhile."""
        messages.warning(request, "You were signed out before the name was saved. Type it again.")
        return redirect("passkeys")

    def post(self, request, id):
        passkey = get_object_or_404(request.user.passkeys, pk=id)
        form = RenameForm(request.POST)
        if form.is_valid():
            passkeys.rename(passkey, form.cleaned_data["name"])
            messages.success(request, f"Renamed to {passkey}.")
        else:
            messages.error(request, "A name has at most 64 characters.")
        return redirect("passkeys")


@method_decorator(login_required, name="dispatch")
class RemovePasskeyView(View):
    """Confirm and remove a passkey. The form asks for the password if the last one is old."""

    def get(self, request, id):
        passkey = get_object_or_404(request.user.passkeys, pk=id)
        return self._page(request, passkey, StepUpForm(device=request.device))

    def post(self, request, id):
        passkey = get_object_or_404(request.user.passkeys, pk=id)
        form = StepUpForm(request.POST, device=request.device)
        if not form.is_valid():
            return self._page(request, passkey, form)
        renew(request, form)
        device = request.device
        passkeys.remove(passkey, device=device.pk, origin=origin_of(device))
        messages.success(request, f"The passkey {passkey} was removed.")
        return redirect("passkeys")

    def _page(self, request, passkey, form: StepUpForm):
        context = {"passkey": passkey, "form": form}
        return form.mark(render(request, "accounts/passkey_remove.html", context))


def options_of(make) -> JsonResponse:
    """The options that `make()` returns, or a 400 that says why there are none."""
    try:
        return JsonResponse(make())
    except PasskeyRefused as refusal:
        return JsonResponse({"detail": str(refusal), "code": "passkey_refused"}, status=400)
