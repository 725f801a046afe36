"""Proof in the act: far-reaching requests carry the password of the person who sends them.

A password that was given lately is not enough for these, so `current_password` is in the same form
or body. A missing or wrong one is an error of that field. It is counted like any other password on
the device. A request that carries the proof need not be fresh as well.
"""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from rest_framework import serializers

from accounts.forms import ThrottledForm
from accounts.serializers import PasswordField
from accounts.throttling import check_password

WRONG = "This is not your password."
MISSING = "Give your password for this."


class CurrentPasswordSerializer(serializers.Serializer):
    """Checks the current password of the person who asks, for a field of a subclass.

    A wrong password is an error of that field. Raise TooManyAttempts after too many wrong ones on
    the device.
    """

    def check_password(self, password: str) -> str:
        request = self.context["request"]
        if not check_password(request.user, password, device=request.auth.pk):
            raise serializers.ValidationError(WRONG)
        return password


class ProofSerializer(CurrentPasswordSerializer):
    """The body of a request that does nothing but need the proof."""

    current_password = PasswordField()

    def validate_current_password(self, password):
        return self.check_password(password)


def require_proof(request) -> None:
    """Raise ValidationError unless the body of the API request has the right `current_password`.

    Call this last, when nothing else can refuse the request. Raise TooManyAttempts after too many
    wrong ones.
    """
    proof = ProofSerializer(data=request.data, context={"request": request})
    proof.is_valid(raise_exception=True)


class ProofForm(ThrottledForm, forms.Form):
    """A form that asks for the password of the person who sends it, if `needs_proof()`.

    Set `request` on the form or its class: `request.user` is that person, and `request.device` the
    device where wrong passwords are counted. The password is looked at last, when the other fields
    are valid.
    """

    request: Any = None

    current_password = forms.CharField(
        label="Your password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def needs_proof(self) -> bool:
        return True

    def full_clean(self):
        super().full_clean()
        if self.is_bound and not self.errors and self.needs_proof():
            try:
                self._check_proof(self.cleaned_data.get("current_password", ""))
            except ValidationError as error:
                self.add_error("current_password", error)

    def _check_proof(self, password: str) -> None:
        if not password:
            raise ValidationError(MISSING, code="required")
        with self.throttled():
            if not check_password(self.request.user, password, device=self.request.device.pk):
                raise ValidationError(WRONG, code="password_incorrect")
