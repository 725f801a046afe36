from django import forms
from django.conf import settings
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError

from accounts.forms import ThrottledForm
from accounts.throttling import check_password, in_words
from tokens.client import clean_text
from tokens.flows import NAME_LENGTH


class StepUpForm(ThrottledForm, forms.Form):
    """A confirmation, with the password when the last one on this device is old."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args, device, always=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.device = device
        if not always and device.is_fresh():
            del self.fields["password"]
        elif not always:
            age = in_words(int(settings.STEP_UP_MAX_AGE.total_seconds()))
            last = f"You last gave it on this device more than {age} ago."
            self.fields["password"].help_text = last

    def clean_password(self):
        password = self.cleaned_data["password"]
        with self.throttled():
            if not check_password(self.device.user, password, device=self.device.pk):
                raise ValidationError("This is not your password.")
        return password


class PasswordChangeForm(ThrottledForm, auth_forms.PasswordChangeForm):
    """Django's own, with the count of the device for wrong passwords."""

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


class RenameForm(forms.Form):
    name = forms.CharField(max_length=NAME_LENGTH, required=False)

    def clean_name(self):
        return clean_text(self.cleaned_data["name"], NAME_LENGTH)


class DeviceForm(RenameForm, forms.ModelForm):
    """Staff's edit of a device, which is its name."""
