"""Proof in the act: far-reaching requests carry the password, or a passkey, of who sends them.

A password that was given lately is not enough for these, so `current_password` is in the same form
or body. A missing or wrong one is an error of that field. It is counted like any other password on
the device. A request that carries the proof need not be fresh as well.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.functional import cached_property
from rest_framework import serializers

from accounts.forms import WRONG, ProvenForm
from accounts.passkeys import REFUSED, check
from accounts.permissions import credential_of
from accounts.serializers import PasskeyField, PasswordField
from accounts.throttling import check_password

MISSING = "Give your password for this."


class CurrentPasswordSerializer(serializers.Serializer):
    """Checks the current password of the person who asks, for a field of a subclass.

    A wrong password is an error of that field. A passkey may take its place: the valid data has the
    `Passkey` then. Raise TooManyAttempts after too many wrong ones on the device.
    """

    proven_by = "current_password"  # the field of the password

    passkey = PasskeyField(required=False)

    def to_internal_value(self, data):
        if "passkey" in self.fields and isinstance(data, dict) and "passkey" in data:
            self.fields[self.proven_by].required = False
        return super().to_internal_value(data)

    def validate_passkey(self, answer):
        request = self.context["request"]
        passkey = check(request.user, answer, device=credential_of(request).pk)
        if passkey is None:
            raise serializers.ValidationError(REFUSED)
        return passkey

    def check_password(self, password: str) -> str:
        request = self.context["request"]
        if not check_password(request.user, password, device=credential_of(request).pk):
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


class ProofForm(ProvenForm, forms.Form):
    """A form of a `ProofAdmin` that asks staff for their password, if `needs_proof()`.

    Set `request` on the form or its class.
    """

    request: Any = None

    current_password = forms.CharField(
        label="Your password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if "current_password" in self.fields:
            self.offer_passkey("current_password", self.request.user)

    def needs_proof(self) -> bool:
        return True

    @cached_property
    def changed_data(self):
        """Without the password, because the admin's history lists these fields."""
        return [name for name in super().changed_data if name != "current_password"]

    def full_clean(self):
        super().full_clean()
        if self.is_bound and not self.errors and self.needs_proof():
            for error in self.request.proof.errors.get("current_password", ()):
                self.add_error("current_password", error)


class ProofAdmin(admin.ModelAdmin):
    """Tests the password that comes with a form, before the form is looked at.

    The admin looks at forms inside a transaction. Attempts are counted outside of transactions.
    """

    def changeform_view(self, request, *args, **kwargs):
        if request.method != "POST":
            return super().changeform_view(request, *args, **kwargs)
        request.proof = _GivenPassword(request.POST, request=request)
        request.proof.full_clean()
        response = super().changeform_view(request, *args, **kwargs)
        return request.proof.mark(response) if response.status_code == 200 else response


class _GivenPassword(ProvenForm, forms.Form):
    current_password = forms.CharField(strip=False, error_messages={"required": MISSING})

    def __init__(self, *args, request, **kwargs):
        super().__init__(*args, **kwargs)
        self.request = request
        self.let_passkey_stand_for("current_password")

    def clean_current_password(self):
        password = self.cleaned_data["current_password"]
        if not getattr(self.request, "is_proven", False):  # by the passkey of this very request
            self.prove(password, self.request.user, device=self.request.device.pk)
        return password
