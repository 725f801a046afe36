from collections.abc import Iterator
from contextlib import contextmanager

from django import forms
from django.conf import settings
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.urls import reverse

from accounts import throttling
from accounts.mail import send_mail
from accounts.models import User
from accounts.throttling import TooManyAttempts, log_too_many


class ThrottledForm(forms.BaseForm):
    """A form that asks for a password: too many tries are an error on it, and a 429."""

    refusal: TooManyAttempts | None = None

    @contextmanager
    def throttled(self) -> Iterator[None]:
        try:
            yield
        except TooManyAttempts as refusal:
            log_too_many()
            self.refusal = refusal
            raise ValidationError(str(refusal), code="throttled") from None

    def mark(self, response: HttpResponse) -> HttpResponse:
        """The page of this form, with the status and header of a refusal if it was one."""
        if self.refusal:
            response.status_code = 429
            response.headers["Retry-After"] = str(self.refusal.wait)
        return response


class LoginForm(ThrottledForm, auth_forms.AuthenticationForm):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Username or email address"
        # Django's own takes no more than a username has; an address may be longer.
        longest = User._meta.get_field("email").max_length
        self.fields["username"].widget.attrs["maxlength"] = longest

    def clean(self):
        with self.throttled():
            return super().clean()


class SignupForm(auth_forms.BaseUserCreationForm):
    """A new account."""

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": auth_forms.UsernameField}

    def save_unique(self) -> User | None:
        """The new user, or None with an error on the form when somebody else was faster."""
        try:
            with transaction.atomic():
                return self.save()
        except IntegrityError:
            self.add_error(None, "That username or email address was taken this very moment.")
            return None


class PasswordResetForm(auth_forms.PasswordResetForm):
    """Django's own, for verified addresses, and also for accounts that have no password yet."""

    def send_mail(self, subject_template_name, email_template_name, context, *args, **kwargs):
        path = reverse("password_reset_confirm", args=[context["uid"], context["token"]])
        link = ("Set a new password", settings.SITE_URL + path)
        send_mail(context["email"], "Set a new password", "password_reset", context, link=link)

    def get_users(self, email):
        return User.objects.with_email(email).filter(
            is_active=True, email_verified_at__isnull=False
        )


class ForgottenPasswordForm(PasswordResetForm):
    """What a person fills in for themselves: so many mails an hour, and the same answer beyond.

    For an address that is nobody's the mail is written too, to a user without one, and not sent:
    whether there is an account is not told by time either (ASVS 6.3.8).
    """

    def get_users(self, email):
        user = super().get_users(email).first()
        try:
            throttling.count_reset_mail(user, email)
        except TooManyAttempts:
            return []
        return [user or User()]
