"""The pages of *Your passkeys*: the list, adding, renaming and removing one, and codes."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import RedirectURLMixin
from django.core.exceptions import ValidationError
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.views import View

from accounts import passkeys
from accounts.passkeys import PasskeyRefused, Voucher, rp_id
from accounts.throttling import TooManyAttempts, log_too_many
from tokens import flows
from tokens.browser import keep_handle
from tokens.forms import PasskeyForm, RecoveryForm, RenameForm
from tokens.step_up import StaffPasskeyForm, StepUpForm, renew


@method_decorator(login_required, name="dispatch")
class PasskeysView(RedirectURLMixin, View):
    """The list. A POST uses a passkey that counts for staff on this device, and leads to `next`."""

    next_page = "passkeys"

    def get(self, request):
        return self._page(request)

    def post(self, request):
        form = StaffPasskeyForm(request)
        if form.is_valid():
            renew(request, form)
            if not self.get_redirect_url():
                messages.success(request, "Thank you. You can work as staff on this device now.")
            return redirect(self.get_success_url())
        return form.mark(self._page(request, errors=form.errors.get("password")))

    def _page(self, request, **context):
        user = request.user
        held = user.passkeys.order_by("created_at", "pk")
        context |= {
            "passkeys": held,
            "can_have": bool(rp_id()),
            "is_of_staff": passkeys.is_needed(user),
            "is_proven": not user.lacks_passkey(),
            "has_vouched": any(passkey.vouched for passkey in held),
            "codes": user.recovery_codes.count(),
        }
        return render(request, "accounts/passkeys.html", context)


@method_decorator(login_required, name="dispatch")
class AddPasskeyView(View):
    """Add a passkey on a fresh device. Another device is asked for the password first.

    So nobody makes a passkey that this site then refuses.
    """

    form_class: type[PasskeyForm] = PasskeyForm

    def get(self, request, **link):
        try:
            self.check(request, **link)
        except PasskeyRefused as refusal:
            return render(request, "accounts/passkey_add.html", {"refusal": refusal}, status=403)
        device = request.device
        form = self.form_class() if device.is_fresh() else StepUpForm(device=device)
        return self._page(request, form, **link)

    def post(self, request, **link):
        device = request.device
        if not device.is_fresh():
            return self._step_up(request, StepUpForm(request.POST, device=device), **link)
        form = self.form_class(request.POST)
        if form.is_valid() and self._add(request, form, **link):
            messages.success(request, "The passkey was added. Sign in with it from now on.")
            user = device.user
            lacks_codes = passkeys.is_needed(user) and not user.recovery_codes.exists()
            return redirect("recovery_codes" if lacks_codes else "passkeys")
        return form.mark(self._page(request, form, **link))

    def check(self, request):
        """Raise PasskeyRefused if this page cannot add a passkey on this device."""
        passkeys.check_voucher(
            request.user, flows.voucher_of(request.device), device=request.device.pk
        )

    def voucher(self, request, form):
        return flows.voucher_of(request.device)

    def _step_up(self, request, form: StepUpForm, **link):
        if not form.is_valid():
            return form.mark(self._page(request, form, **link))
        renew(request, form)
        return redirect(request.path)

    def _add(self, request, form: PasskeyForm, **link) -> bool:
        given = form.cleaned_data
        voucher = self.voucher(request, form, **link)
        try:
            with form.throttled():
                _, handle = flows.add_passkey(
                    request.device, given["passkey"], given["name"], voucher
                )
        except (PasskeyRefused, ValidationError) as refusal:
            form.add_error(None, refusal if isinstance(refusal, ValidationError) else str(refusal))
            return False
        if handle:
            keep_handle(request, handle)
        return True

    def _page(self, request, form: StepUpForm | PasskeyForm, **context):
        context |= {"form": form, "can_add": isinstance(form, PasskeyForm)}
        return render(request, "accounts/passkey_add.html", context)


class FirstPasskeyView(AddPasskeyView):
    """Add the first passkey of a member of staff, with the link that a superuser gave them."""

    def check(self, request, link):
        if not passkeys.is_good_link(request.user, link):
            raise PasskeyRefused(passkeys.BAD_LINK)

    def voucher(self, request, form, link):
        return Voucher(link=link)


class RecoverView(AddPasskeyView):
    """Add a passkey with a recovery code, after the others were lost. All other devices end."""

    form_class = RecoveryForm

    def check(self, request):
        """Any device will do: the code is looked at when it is typed."""

    def voucher(self, request, form):
        return Voucher(code=form.cleaned_data["recovery_code"])


@method_decorator(login_required, name="dispatch")
class PasskeyOptionsView(View):
    """What the browser needs to make a passkey, as JSON, for a script.

    It sends the link or the recovery code of the page along.
    """

    def post(self, request):
        device, link, code = (
            request.device,
            request.POST.get("link", ""),
            request.POST.get("recovery_code", ""),
        )
        shown = Voucher(link=link, code=code)
        voucher = shown if link or code else flows.voucher_of(device)
        purpose = passkeys.registration(device.pk)
        return options_of(lambda: passkeys.creation_options(device.user, purpose, voucher))


@method_decorator(login_required, name="dispatch")
class RecoveryCodesView(View):
    """Make ten new recovery codes, and show them once."""

    def dispatch(self, request, *args, **kwargs):
        if not passkeys.is_needed(request.user) or request.user.lacks_passkey():
            messages.warning(request, "Recovery codes are for staff, who use their passkey first.")
            return redirect("passkeys")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request):
        return self._page(request, StepUpForm(device=request.device))

    def post(self, request):
        form = StepUpForm(request.POST, device=request.device)
        if not form.is_valid():
            return self._page(request, form)
        renew(request, form)
        return self._page(request, form, codes=flows.make_codes(request.device))

    def _page(self, request, form: StepUpForm, **context):
        context |= {"form": form, "count": passkeys.CODES}
        return form.mark(render(request, "accounts/recovery_codes.html", context))


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
        try:
            flows.remove_passkey(request.device, passkey)
        except PasskeyRefused as refusal:
            messages.warning(request, str(refusal))
            return redirect("passkeys")
        messages.success(request, f"The passkey {passkey} was removed.")
        return redirect("passkeys")

    def _page(self, request, passkey, form: StepUpForm):
        context = {"passkey": passkey, "form": form}
        return form.mark(render(request, "accounts/passkey_remove.html", context))


def options_of(make) -> JsonResponse:
    """The options that `make()` returns, or a 400 or 429 that says why there are none."""
    try:
        return JsonResponse(make())
    except PasskeyRefused as refusal:
        return JsonResponse({"detail": str(refusal), "code": "passkey_refused"}, status=400)
    except TooManyAttempts as refusal:
        log_too_many()
        said = {"detail": str(refusal), "code": "throttled"}
        return JsonResponse(said, status=429, headers={"Retry-After": str(refusal.wait)})
