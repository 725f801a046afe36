from collections.abc import Iterator
from contextlib import contextmanager

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from accounts import passkeys, throttling
from accounts.exceptions import LoginFailed
from accounts.letters import by_staff
from accounts.mail import send_mail
from accounts.models import Passkey, User
from accounts.passkeys import MAX_ANSWER, REFUSED, GivenPasskey
from accounts.throttling import TooManyAttempts, log_too_many
from accounts.verification import send_verification

WRONG = "This is not your password."
NO_SCRIPT = (
    "Passkeys need JavaScript, which is off in this browser. Your password works without it."
)


class ThrottledForm(forms.BaseForm):
    """A form that asks for a password. After too many attempts it shows an error, with a 429."""

    refusal: TooManyAttempts | None = None

    @contextmanager
    def throttled(self) -> Iterator[None]:
        """Turn TooManyAttempts from the block into an error of the form."""
        try:
            yield
        except TooManyAttempts as refusal:
            log_too_many()
            self.refusal = refusal
            message = render_to_string("_refusal.html", {"refusal": refusal})
            raise ValidationError(message, code="throttled") from None

    def mark(self, response: HttpResponse) -> HttpResponse:
        """Return the form's page, with 429 and `Retry-After` if the attempt was refused."""
        if self.refusal:
            response.status_code = 429
            response.headers["Retry-After"] = str(self.refusal.wait)
        return response


class ProvenForm(ThrottledForm):
    """A form in which a person gives the password on their device, or a passkey in its place.

    A script sends the answer of the passkey as `passkey`, next to the empty password.
    `used_passkey` is the passkey, once the form is valid by it.
    """

    used_passkey: Passkey | None = None

    def has_passkey(self) -> bool:
        return bool(self.data.get("passkey"))

    def let_passkey_stand_for(self, field: str) -> None:
        """Require no password in the field if a passkey comes."""
        if self.has_passkey():
            self.fields[field].required = False

    def offer_passkey(self, field: str, user: User) -> None:
        """Let a script show a button for a passkey at the field, if the user has one."""
        if url := passkey_url(user):
            self.fields[field].widget.attrs["data-passkey"] = url
            said = format_html("<span data-without>{}</span>", NO_SCRIPT)  # a script takes it away
            self.fields[field].help_text = format_html("{} {}", self.fields[field].help_text, said)

    def prove(self, password: str, user: User, *, device: object) -> None:
        """Raise ValidationError unless the passkey, or else the password, is right."""
        answer = self.data.get("passkey")
        with self.throttled():
            if answer:
                self.used_passkey = passkeys.check(user, answer, device=device)
                if self.used_passkey is None:
                    raise ValidationError(REFUSED)
            if not answer and not throttling.check_password(user, password, device=device):
                raise ValidationError(WRONG)


def passkey_url(user: User) -> str:
    """Where a script gets the options to use a passkey in place of the password. "" without one."""
    return reverse("step_up_options") if user.passkeys.exists() else ""


class AnswerField(forms.CharField):
    """The answer of a passkey as JSON, which a script puts there. No page repeats it."""

    def __init__(self, **kwargs):
        super().__init__(max_length=MAX_ANSWER, strip=False, widget=AnswerInput, **kwargs)


class AnswerInput(forms.HiddenInput):
    def get_context(self, name, value, attrs):
        return super().get_context(name, None, attrs)


class LoginForm(ThrottledForm, auth_forms.AuthenticationForm):
    error_messages = auth_forms.AuthenticationForm.error_messages | {
        "invalid_login": LoginFailed.default_detail
    }

    is_shared = forms.BooleanField(label="Shared computer: sign out after an hour", required=False)
    passkey = AnswerField(required=False)

    def __init__(self, *args, purpose=None, **kwargs):
        """`purpose` is what a passkey must have answered, if one is there."""
        super().__init__(*args, **kwargs)
        self.purpose = purpose
        if self.data.get("passkey"):
            self.fields["username"].required = self.fields["password"].required = False
        self.fields["username"].label = "Username or email address"
        self.fields["username"].widget.attrs["autocomplete"] = "username webauthn"
        # Django's own limit is the length of a username, and an email address may be longer.
        longest = User._meta.get_field("email").max_length
        self.fields["username"].widget.attrs["maxlength"] = longest

    def clean(self):
        """Do what Django's does, but let the attempt succeed with the login that follows."""
        credentials = self._credentials()
        if credentials is None:
            return self.cleaned_data
        with self.throttled():
            self.user_cache = authenticate(self.request, **credentials, keep_attempt=True)
        if self.user_cache is None:
            raise self.get_invalid_login_error()
        self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data

    def _credentials(self):
        """What was given to sign in with: a passkey, or a name and a password."""
        if answer := self.cleaned_data.get("passkey"):
            return {"passkey": GivenPasskey(answer, self.purpose)}
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name is None or not password:
            return None
        return {"username": name, "password": password}

    def get_invalid_login_error(self):
        if self.cleaned_data.get("passkey"):
            return ValidationError(REFUSED, code="invalid_login")
        return super().get_invalid_login_error()

    def is_valid(self):
        """Let the attempt of a right password succeed also if no login follows."""
        is_valid, user = super().is_valid(), self.get_user()
        if not is_valid and user and user.attempt:
            user.attempt.succeed()
            user.attempt = None
        return is_valid


class ConfirmEmailForm(ThrottledForm, forms.Form):
    """Confirms the email address of `account`. It asks for the password of that account.

    It does not ask a browser that is signed in to the account. Nor does it ask for an account
    without a password, because only staff make these, with an address that staff chose.
    """

    password = forms.CharField(
        label="The password of your account here",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args, request, account, **kwargs):
        super().__init__(*args, **kwargs)
        self.request, self.account = request, account
        if request.user.pk == account.pk or not account.has_usable_password():
            del self.fields["password"]

    def clean_password(self):
        """Count and check the password as at sign-in, because anybody may hold the link."""
        password, name = self.cleaned_data["password"], self.account.username
        with self.throttled():
            user = authenticate(self.request, username=name, password=password)
        if user is None or user.pk != self.account.pk:
            raise ValidationError("This is not the password of that account.")
        return password


class UniqueEmail(forms.ModelForm):
    """A form of a user that refuses an email address that another account has verified."""

    def clean_email(self):
        email = self.cleaned_data["email"]
        others = User.objects.exclude(pk=self.instance.pk)
        if others.with_verified_email(email).exists():
            raise ValidationError("That email address is taken.", code="unique")
        return email


class NewPasswordForm(auth_forms.SetPasswordMixin):
    """Asks twice for a new password. What is wrong with it stands at the first of the fields."""

    def validate_password_for_user(self, user, second="password2"):
        super().validate_password_for_user(user, second.replace("2", "1"))


class SetPasswordForm(NewPasswordForm, auth_forms.SetPasswordForm):
    pass


class SignupForm(NewPasswordForm, UniqueEmail, auth_forms.BaseUserCreationForm):
    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": auth_forms.UsernameField}

    def save_unique(self) -> User | None:
        """Save and return the new user. Mail the link that confirms the address.

        If another request took the name first, show an error on the form and return None.
        """
        try:
            with transaction.atomic():
                user = self.save()
                send_verification(user, user.email)
        except IntegrityError:
            self.add_error("username", "That username was taken this very moment.")
            return None
        return user


class PasswordResetForm(auth_forms.PasswordResetForm):
    """Django's own, but for verified addresses only, and also for accounts without a password."""

    def save(self, *args, **kwargs):
        """Mail the link. Without facts about where it was asked for, staff send it."""
        facts = kwargs.get("extra_email_context") or by_staff(kwargs["request"].user)
        for user in self.get_users(self.cleaned_data["email"]):
            send_mail(user, "password_reset", facts)

    def get_users(self, email):
        return User.objects.with_verified_email(email).filter(is_active=True)


class ForgottenPasswordForm(PasswordResetForm):
    """The form that people fill in for themselves.

    Beyond RESET_MAILS_PER_HOUR it sends nothing and answers the same. For an unknown address a mail
    is queued too, to nobody. So response time does not reveal whether there is an account (ASVS
    6.3.8).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "Email address"

    def get_users(self, email):
        user = super().get_users(email).first()
        try:
            throttling.count_reset_mail(user, email)
        except TooManyAttempts:
            return []
        return [user or User()]
