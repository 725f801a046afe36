"""The token of a mailed link that sets a new password."""

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.letters import Mail, Overtaken, paths


class ResetTokens(PasswordResetTokenGenerator):
    """Tokens that end when the password or the email address changes, so also when used once.

    Django's own end with each sign-in and each upgrade of the hash as well. So somebody who knows
    the password could keep the owner from setting another one.
    """

    key_salt = "accounts.reset"

    def _make_hash_value(self, user, timestamp):
        return f"{user.pk} {user.password_changed_at.isoformat()} {timestamp} {user.email}"


reset_tokens = ResetTokens()


def _path_to_reset(mail: Mail) -> str:
    if mail.is_overtaken():
        raise Overtaken("overtaken")
    key = urlsafe_base64_encode(force_bytes(mail.user.pk))
    return reverse("password_reset_confirm", args=[key, reset_tokens.make_token(mail.user)])


paths.update(
    password_reset=_path_to_reset,
    password_needed=lambda mail: reverse("password_reset"),
)
