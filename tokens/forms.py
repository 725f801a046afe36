from django import forms
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError

from accounts.forms import (
    WRONG,
    AnswerField,
    NewPasswordForm,
    ProvenForm,
    ThrottledForm,
)
from accounts.models import User
from accounts.models.passkeys import NAME_LENGTH as PASSKEY_NAME_LENGTH
from accounts.models.queries import MAX_EMAIL_LENGTH
from accounts.text import clean_text, validate_printable
from accounts.throttling import check_password
from tokens.models import NAME_LENGTH

NO_ANSWER = "Your browser has not made a passkey. This needs JavaScript."


class PasswordChangeForm(NewPasswordForm, ThrottledForm, auth_forms.PasswordChangeForm):
    """Django's form. Wrong passwords are counted for the device, and limited."""

    error_messages = auth_forms.PasswordChangeForm.error_messages | {"password_incorrect": WRONG}

    def __init__(self, *args, device, **kwargs):
        super().__init__(*args, **kwargs)
        self.device = device

    def clean_old_password(self):
        password = self.cleaned_data["old_password"]
        with self.throttled():
            if not check_password(self.user, password, device=self.device.pk):
                raise ValidationError(
                    self.error_messages["password_incorrect"], code="password_incorrect"
                )
        return password


class NamesForm(ProvenForm, forms.Form):
    """A change of the person's own username or email address. It asks for the password.

    Whether a name is free is not asked here, because that is counted first.
    """

    username = auth_forms.UsernameField(validators=User._meta.get_field("username").validators)
    email = forms.EmailField(
        label="Email address",
        max_length=MAX_EMAIL_LENGTH,
        validators=[validate_printable],
        help_text="Your address changes once you open the link that is mailed to the new one.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    current_password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args, device, **kwargs):
        super().__init__(*args, **kwargs)
        self.device = device
        self.let_passkey_stand_for("current_password")
        self.offer_passkey("current_password", device.user)

    def clean_current_password(self):
        password = self.cleaned_data["current_password"]
        self.prove(password, self.device.user, device=self.device.pk)
        return password


class PasskeyForm(ThrottledForm, forms.Form):
    """A new passkey. A script fills in what the authenticator answers."""

    passkey = AnswerField(error_messages={"required": NO_ANSWER})
    name = forms.CharField(
        required=False,
        max_length=PASSKEY_NAME_LENGTH,
        validators=[validate_printable],
        help_text="It tells your passkeys apart, for example “My phone”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean(self):
        """Show what is wrong with the hidden field where people see it."""
        for error in self.errors.pop("passkey", ()):
            self.add_error(None, error)


class RecoveryForm(PasskeyForm):
    """A new passkey for somebody who has lost the others and kept a recovery code."""

    recovery_code = forms.CharField(
        max_length=100,
        help_text="One of the ten that you were shown. Each is good once.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    field_order = ["recovery_code", "passkey", "name"]


class RenameForm(forms.Form):
    name = forms.CharField(max_length=NAME_LENGTH, required=False)

    def clean_name(self):
        return clean_text(self.cleaned_data["name"], NAME_LENGTH)


class DeviceForm(RenameForm, forms.ModelForm):
    """The form in which staff edit a device. They can change its name only."""
