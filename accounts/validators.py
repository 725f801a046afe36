from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 256


class MaximumLengthValidator:
    """Refuse a password that is too long, rather than cut it (ASVS 6.2.9)."""

    def validate(self, password, user=None):
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self):
        return f"Your password must contain at most {MAX_PASSWORD_LENGTH} characters."
