from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, IntegrityError, transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions, serializers

from accounts.exceptions import EmailTaken, RoleTaken, UsernameTaken
from accounts.models import Role, User


class PasswordField(serializers.CharField):
    """A password exactly as typed (ASVS 6.2.8). It is never sent back."""

    def __init__(self, **kwargs):
        style = {"input_type": "password"}
        super().__init__(write_only=True, trim_whitespace=False, style=style, **kwargs)


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

    def get_email_verified(self, user) -> bool:
        return user.email_verified_at is not None


class UniqueNames(serializers.Serializer):
    """Refuses a username or an email address that another account has."""

    def check_names(self, user_pk: int | None = None) -> None:
        """Raise UsernameTaken or EmailTaken (409) if an account other than `user_pk` has it."""
        names = self.validated_data
        others = User.objects.exclude(pk=user_pk)
        if "username" in names and others.with_login(names["username"]).exists():
            raise UsernameTaken
        if "email" in names and others.with_verified_email(names["email"]).exists():
            raise EmailTaken


class SignupSerializer(UniqueNames, serializers.ModelSerializer):
    username = UsernameField()
    password = PasswordField()

    class Meta:
        model = User
        fields = ["username", "email", "password"]

    def validate(self, attrs):
        validate_new_password(attrs["password"], User(**attrs), field="password")
        return attrs

    def create(self, validated_data):
        self.check_names()
        user = User(username=validated_data["username"], email=validated_data["email"])
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


def validate_new_password(password: str, user: User, *, field: str) -> None:
    """Raise DRF's ValidationError for `field` unless Django's validators accept the password."""
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise serializers.ValidationError({field: error.messages}) from None


def save_unique(user: User, update_fields: list[str] | None = None) -> User:
    """Save the user. Raise UsernameTaken or EmailTaken if another request took the name first.

    Raise NotAuthenticated if the account was deleted meanwhile.
    """
    try:
        with transaction.atomic():
            user.save(update_fields=update_fields)
    except IntegrityError as error:
        # Only the first line, which names the constraint. PostgreSQL repeats the values in the next
        # one, and a value may hold "email".
        constraint = str(error).splitlines()[0]
        raise (EmailTaken if "email" in constraint else UsernameTaken) from None
    except DatabaseError:
        if User.objects.filter(pk=user.pk).exists():
            raise
        raise exceptions.NotAuthenticated from None
    return user
