from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.exceptions import RoleTaken
from accounts.models import Role, User
from accounts.models.roles import role_names
from accounts.names import require_free, save_unique


class PasswordField(serializers.CharField):
    """A password exactly as typed (ASVS 6.2.8). It is never sent back."""

    def __init__(self, **kwargs):
        style = {"input_type": "password"}
        super().__init__(write_only=True, trim_whitespace=False, style=style, **kwargs)


class PasskeyField(serializers.DictField):
    """The answer of an authenticator, as `PublicKeyCredential.toJSON()` gives it."""

    def __init__(self, **kwargs):
        help_text = "WebAuthn's JSON: what the platform answers to the options."
        super().__init__(write_only=True, help_text=help_text, **kwargs)


class UsernameField(serializers.CharField):
    """A username. It is brought into normal form (NFKC) before the validators see it."""

    def __init__(self, **kwargs):
        super().__init__(validators=User._meta.get_field("username").validators, **kwargs)

    def to_internal_value(self, data):
        return User.normalize_username(super().to_internal_value(data))


class UserSerializer(serializers.ModelSerializer):
    email_verified = serializers.SerializerMethodField()
    roles = serializers.SlugRelatedField("name", many=True, read_only=True)

    class Meta:
        model = User
        fields = ["id", "username", "email", "email_verified", "roles", "date_joined"]
        read_only_fields = fields

    def to_representation(self, user):
        """What the fields say, which a test compares. DRF would make them anew for each answer."""
        return {
            "id": user.pk,
            "username": user.username,
            "email": user.email,
            "email_verified": self.get_email_verified(user),
            "roles": role_names(user),
            "date_joined": iso(user.date_joined),
        }

    def get_email_verified(self, user) -> bool:
        return user.email_verified_at is not None


class SignupSerializer(serializers.ModelSerializer):
    username = UsernameField()
    password = PasswordField()

    class Meta:
        model = User
        fields = ["username", "email", "password"]

    def validate(self, attrs):
        validate_new_password(attrs["password"], User(**attrs), field="password")
        return attrs

    def create(self, validated_data):
        names = {"username": validated_data["username"], "email": validated_data["email"]}
        require_free(**names)
        user = User(**names)
        user.set_password(validated_data["password"])
        return save_unique(user)


class RoleSerializer(serializers.ModelSerializer):
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = Role
        fields = ["name", "description", "permissions"]
        extra_kwargs = {"name": {"validators": Role._meta.get_field("name").validators}}

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_permissions(self, role):
        return sorted(role.permission_labels())

    def validate_name(self, name):
        if self.instance and self.instance.is_built_in and name != self.instance.name:
            raise serializers.ValidationError("This role is built in and keeps its name.")
        return name

    def save(self, **kwargs):
        try:
            with transaction.atomic():
                return super().save(**kwargs)
        except IntegrityError:
            raise RoleTaken from None


class GivenRoleSerializer(serializers.Serializer):
    """The body of a request that gives a role."""

    current_password = PasswordField(
        required=False, help_text="Needed to give a role with permissions."
    )
    passkey = PasskeyField(required=False)


def validate_new_password(password: str, user: User, *, field: str) -> None:
    """Raise DRF's ValidationError for `field` unless Django's validators accept the password."""
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise serializers.ValidationError({field: error.messages}) from None


def iso(time: datetime | None) -> str | None:
    """A time in UTC, as DRF writes it."""
    return time and time.isoformat().replace("+00:00", "Z")
