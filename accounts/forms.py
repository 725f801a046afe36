from django.conf import settings
from django.contrib.auth import forms as auth_forms
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.mail import send_mail
from accounts.models import User


class LoginForm(auth_forms.AuthenticationForm):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Username or email address"


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
