"""Pages for signing up and for confirming an email address."""

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect, render
from django.views import View

from accounts import throttling
from accounts.forms import ConfirmEmailForm, SignupForm
from accounts.verification import (
    LinkRefused,
    find_claimant,
    read_link,
    verify_email,
)


class SignupView(View):
    """Create an account, and lead the person to the page where they sign in (ASVS 7.6.2)."""

    def dispatch(self, request, *args, **kwargs):
        if not settings.SIGNUP_OPEN:
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get(self, request):
        return render(request, "accounts/signup.html", {"form": SignupForm()})

    def post(self, request):
        throttling.count_signup(request.META.get("REMOTE_ADDR", ""))
        form = SignupForm(request.POST)
        user = form.save_unique() if form.is_valid() else None
        if user is None:
            return render(request, "accounts/signup.html", {"form": form})
        messages.success(request, f"Welcome, {user}. A link to confirm your address is on its way.")
        return redirect("login")


class VerifyEmailView(View):
    """The page behind a mailed link: GET shows what it does, POST does it.

    So a mail scanner that follows links changes nothing. The link does not sign the person in.
    """

    template_name = "accounts/verify_email.html"

    def get(self, request, token):
        return self._answer(request, token)

    def post(self, request, token):
        return self._answer(request, token, request.POST)

    def _answer(self, request, token, data=None):
        try:
            account, claims = find_claimant(token), read_link(token)
            if account.email_verified_at and account.email == claims["to"]:
                return self._page(request, {"verified": account.email, "is_again": True})
            form = ConfirmEmailForm(data, request=request, account=account)
            if form.is_valid():
                return self._page(request, {"verified": verify_email(token).email})
            page = self._page(request, {"email": claims["to"], "form": form})
            return form.mark(page)
        except LinkRefused as refusal:
            return self._page(request, {"refusal": refusal}, status=400)

    def _page(self, request, context, status=200):
        return render(request, self.template_name, context, status=status)
