"""The pages to sign in, and to change or reset the password."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views import View

from accounts import throttling
from accounts.forms import ForgottenPasswordForm, LoginForm, SetPasswordForm
from accounts.passkeys import request_options, rp_id
from accounts.reset import reset_tokens
from tokens import flows, stories
from tokens.browser import keep_handle, passkey_purpose, pop_signed_out
from tokens.forms import PasswordChangeForm
from tokens.notices import origin_of_request
from tokens.views.passkeys import options_of

SHARED_LIFETIME = timedelta(hours=1)  # of a device on a shared computer


class LoginView(auth_views.LoginView):
    """The one sign-in page, shared by pages, admin and browsable API."""

    authentication_form = LoginForm
    template_name = "accounts/login.html"

    def get_initial(self):
        """Tick the box of a shared computer for a browser that is to be signed out soon."""
        device = self.request.device
        return {"is_shared": bool(device) and stories.ends_soon(device)}

    def get_form_kwargs(self):
        kwargs = super().get_form_kwargs()
        if self.request.POST.get("passkey"):
            kwargs["purpose"] = passkey_purpose(self.request)
        return kwargs

    def get_context_data(self, **kwargs):
        """Say once why the device was signed out. Name the user to whom a page was refused."""
        return super().get_context_data(
            signed_out=pop_signed_out(self.request),
            refused_user=self.request.user if self.get_redirect_url() else None,
            signup_open=settings.SIGNUP_OPEN,
            can_have_passkeys=bool(rp_id()),
            **kwargs,
        )

    def form_valid(self, form):
        """Sign in, or refuse it if the account changed while its password was hashed."""
        if form.cleaned_data["is_shared"]:
            self.request.at_most = SHARED_LIFETIME
        login(self.request, form.get_user())
        if not self.request.user.is_authenticated:
            form.add_error(None, form.get_invalid_login_error())
            return self.form_invalid(form)
        return redirect(self.get_success_url())

    def form_invalid(self, form):
        return form.mark(super().form_invalid(form))


class LoginOptionsView(View):
    """What the browser needs to sign in with a passkey, as JSON, for a script."""

    def post(self, request):
        purpose = passkey_purpose(request)
        return options_of(lambda: request_options(purpose))


class PasswordChangeView(auth_views.PasswordChangeView):
    """Change the password. Every other device ends; this one stays."""

    form_class = PasswordChangeForm
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("devices")

    @method_decorator(login_required)
    def dispatch(self, *args, **kwargs):
        return super().dispatch(*args, **kwargs)

    def get_form_kwargs(self):
        return {**super().get_form_kwargs(), "device": self.request.device}

    def form_invalid(self, form):
        return form.mark(super().form_invalid(form))

    def form_valid(self, form):
        handle = flows.change_password(form.save(commit=False), self.request.device)
        keep_handle(self.request, handle)
        messages.success(
            self.request, "Your password was changed. All other devices were signed out."
        )
        return redirect(self.get_success_url())


class PasswordResetView(auth_views.PasswordResetView):
    """Mail a link if the address is verified. The answer is the same if it is not."""

    form_class = ForgottenPasswordForm
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("password_reset_done")

    def post(self, request, *args, **kwargs):
        self.extra_email_context = origin_of_request(request)
        throttling.count_reset_request(request.META.get("REMOTE_ADDR", ""))
        return super().post(request, *args, **kwargs)


class PasswordResetDoneView(auth_views.PasswordResetDoneView):
    template_name = "accounts/password_reset_done.html"


class PasswordResetConfirmView(auth_views.PasswordResetConfirmView):
    """Set a password by a mailed link.

    All devices of the user end, and all locks on their sign-in are lifted. This signs nobody in
    (ASVS 7.6.2).
    """

    form_class = SetPasswordForm
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("login")
    token_generator = reset_tokens

    def dispatch(self, *args, **kwargs):
        """Look at the device of the browser first, and keep the link's token across that.

        The session is flushed if that device has ended, and it may hold the token.
        """
        token = self.request.session.get(INTERNAL_RESET_SESSION_TOKEN)
        bool(self.request.device)
        if token:
            self.request.session[INTERNAL_RESET_SESSION_TOKEN] = token
        return super().dispatch(*args, **kwargs)

    def form_valid(self, form):
        """Set the password. If the account changed meanwhile, the link has ended."""
        try:
            flows.reset_password(form.save(commit=False), origin_of_request(self.request))
        except flows.Refused:
            self.validlink = False
            return self.render_to_response(self.get_context_data())
        del self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        throttling.lift(throttling.of_user(self.user))
        messages.success(self.request, "Your password was set. Sign in with it.")
        return redirect(self.get_success_url())
