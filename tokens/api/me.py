"""The API of the person who is signed in."""

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.response import Response

from accounts.models import User
from accounts.names import change_names
from accounts.permissions import credential_of
from accounts.proof import CurrentPasswordSerializer
from accounts.serializers import (
    PasswordField,
    UsernameField,
    UserSerializer,
    validate_new_password,
)
from tokens import flows
from tokens.api.sign_in import PairSerializer, renewed
from tokens.notices import origin_of


class PasswordSerializer(CurrentPasswordSerializer):
    passkey = None  # a new password needs the current one (ASVS 6.2.3)
    current_password = PasswordField()
    new_password = PasswordField()

    def validate_current_password(self, password):
        return self.check_password(password)

    def validate(self, attrs):
        validate_new_password(
            attrs["new_password"], self.context["request"].user, field="new_password"
        )
        return attrs


class ProfileSerializer(CurrentPasswordSerializer, serializers.ModelSerializer):
    """A change of the person's own username or email address. It needs the current password."""

    required_in_patch = ("current_password",)

    username = UsernameField(required=False)
    current_password = PasswordField()

    class Meta:
        model = User
        fields = ["username", "email", "current_password", "passkey"]
        extra_kwargs = {"email": {"required": False}}

    def validate_current_password(self, password):
        return self.check_password(password)


USERS = UserSerializer()  # shared, as those of `tokens.api.sign_in`


class PasswordView(generics.GenericAPIView):
    """Change the password. Every other device ends. This one gets new tokens or a new cookie."""

    refuses = {"POST": (429,)}
    serializer_class = PasswordSerializer

    @extend_schema(request=PasswordSerializer, responses={200: PairSerializer, 204: None})
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        request.user.set_password(serializer.validated_data["new_password"])
        return renewed(request, lambda: flows.change_password(request.user, credential_of(request)))


class MeView(generics.GenericAPIView):
    """The person who is signed in."""

    refuses = {"PATCH": (409, 429)}
    serializer_class = ProfileSerializer

    @extend_schema(responses={200: UserSerializer})
    def get(self, request):
        return Response(USERS.to_representation(request.user))

    @extend_schema(request=ProfileSerializer, responses={200: UserSerializer})
    def patch(self, request):
        """Change the username or the email address.

        A new address counts once the person opens the link that is mailed to it. If the present
        address is not verified, sending it again asks for another link.
        """
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given, device = serializer.validated_data, credential_of(request)
        change_names(
            request.user,
            username=given.get("username"),
            email=given.get("email"),
            address=request.META.get("REMOTE_ADDR", ""),
            device=device.pk,
            origin=origin_of(device),
        )
        return Response(USERS.to_representation(request.user))
