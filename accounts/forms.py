from django.contrib.auth import forms as auth_forms

from accounts.models import User


class PasswordResetForm(auth_forms.PasswordResetForm):
    """Django's own, for verified addresses, and also for accounts that have no password yet."""

    def get_users(self, email):
        return User.objects.with_email(email).filter(
            is_active=True, email_verified_at__isnull=False
        )
