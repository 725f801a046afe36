"""The API to sign in, stay signed in and sign out."""

from django.contrib.auth import authenticate
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import passkeys
from accounts.api import OpenView
from accounts.exceptions import LoginFailed
from accounts.passkeys import GivenPasskey
from accounts.permissions import IsFresh, credential_of
from accounts.proof import CurrentPasswordSerializer
from accounts.serializers import PasskeyField, PasswordField
from tokens import flows
from tokens.api.passkeys import options_of
from tokens.authentication import TokenRefused
from tokens.browser import forget_handle, keep_handle
from tokens.client import Client
from tokens.models import IssuedToken
from tokens.serializers import DeviceNameField, DeviceSerializer


class LoginSerializer(serializers.Serializer):
    username = serializers.CharField(help_text="Username, or a verified email address.")
    password = PasswordField()
    device_name = DeviceNameField(required=False, default="")


class PasskeyLoginSerializer(serializers.Serializer):
    passkey = PasskeyField()
    device_name = DeviceNameField(required=False, default="")


class PairSerializer(serializers.Serializer):
    """The token response of RFC 6749, section 5.1, with the device that it belongs to."""

    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds.")
    device = DeviceSerializer()

    def to_representation(self, pair):
        """What the fields say, which a test compares. The device is the current one."""
        return {
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "token_type": "Bearer",
            "expires_in": pair.expires_in,
            "device": {**DEVICES.to_representation(pair.device), "is_current": True},
        }


class RefreshSerializer(serializers.Serializer):
    refresh_token = serializers.CharField(write_only=True)


class ReauthenticateSerializer(CurrentPasswordSerializer):
    proven_by = "password"

    password = PasswordField()

    def validate_password(self, password):
        return self.check_password(password)


class RevokedSerializer(serializers.Serializer):
    revoked = serializers.IntegerField(help_text="How many devices it ended.")


# Shared, because DRF copies all fields for each new serializer, and that costs more than a query.
# None of them keeps anything of a request.
CREDENTIALS, REFRESH = LoginSerializer(), RefreshSerializer()
PASSKEY, PAIRS, DEVICES = PasskeyLoginSerializer(), PairSerializer(), DeviceSerializer()


class LoginView(OpenView, generics.GenericAPIView):
    """Sign in on a new device. Sets no cookie."""

    refuses = {"POST": (401, 429)}
    serializer_class = LoginSerializer

    @extend_schema(
        request=PolymorphicProxySerializer(
            component_name="LoginOrPasskey",
            serializers=[LoginSerializer, PasskeyLoginSerializer],
            resource_type_field_name=None,
        ),
        responses={200: PairSerializer},
    )
    def post(self, request):
        if "passkey" in request.data:
            return self._by_passkey(request)
        credentials = CREDENTIALS.run_validation(request.data)
        user = authenticate(
            request,
            username=credentials["username"],
            password=credentials["password"],
            keep_attempt=True,
        )
        if user is None:
            raise LoginFailed
        return log_in(request, user, credentials["device_name"])

    def _by_passkey(self, request):
        given = PASSKEY.run_validation(request.data)
        passkey = GivenPasskey(given["passkey"], passkeys.login())
        user = authenticate(request, passkey=passkey, keep_attempt=True)
        if user is None:
            raise LoginFailed(passkeys.REFUSED)
        return log_in(request, user, given["device_name"])


class LoginOptionsView(OpenView):
    """WebAuthn's options to sign in with a passkey, good for five minutes."""

    refuses = {"POST": (403,)}

    @extend_schema(request=None, responses={200: OpenApiTypes.OBJECT})
    def post(self, request):
        return options_of(lambda: passkeys.request_options(passkeys.login()))


class RefreshView(OpenView, generics.GenericAPIView):
    """The next pair for a refresh token. If no answer comes, send the same token and key again."""

    refuses = {"POST": (401,)}
    serializer_class = RefreshSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Random, one for each refresh, the same when it is sent again.",
            )
        ],
        request=RefreshSerializer,
        responses={200: PairSerializer},
    )
    def post(self, request):
        given = REFRESH.run_validation(request.data)
        try:
            pair = flows.refresh(
                given["refresh_token"],
                Client.from_request(request),
                attempt=request.headers.get("Idempotency-Key"),
            )
        except flows.Refused as refusal:
            raise TokenRefused(refusal) from None
        return pair_response(pair)


class ReauthenticateOptionsView(APIView):
    """WebAuthn's options to step up with a passkey, good for five minutes on this device."""

    @extend_schema(request=None, responses={200: OpenApiTypes.OBJECT})
    def post(self, request):
        device = credential_of(request)
        return options_of(lambda: passkeys.step_up_options(request.user, device.pk))


class ReauthenticateView(generics.GenericAPIView):
    """Give the password or a passkey, to be fresh. The device's former tokens or cookie end."""

    refuses = {"POST": (429,)}
    serializer_class = ReauthenticateSerializer

    @extend_schema(request=ReauthenticateSerializer, responses={200: PairSerializer, 204: None})
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        device, passkey = credential_of(request), serializer.validated_data.get("passkey")
        return renewed(request, lambda: flows.reauthenticate(device, request.user, passkey))


class LogoutView(APIView):
    """Sign out on this device."""

    question = "Sign this device out?"

    @extend_schema(request=None, responses={204: None})
    def post(self, request):
        flows.log_out(credential_of(request))
        forget_handle(request, credential_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class LogoutOthersView(APIView):
    """Sign out on all other devices."""

    question = "Sign all other devices out?"
    permission_classes = [*APIView.permission_classes, IsFresh]

    @extend_schema(request=None, responses={200: RevokedSerializer})
    def post(self, request):
        return Response({"revoked": flows.log_out_others(credential_of(request))})


class LogoutAllView(APIView):
    """Sign out on all devices, this one too."""

    question = "Sign all devices out, this one too?"
    permission_classes = [*APIView.permission_classes, IsFresh]

    @extend_schema(request=None, responses={200: RevokedSerializer})
    def post(self, request):
        revoked = flows.log_out_all(request.user)
        forget_handle(request, credential_of(request))
        return Response({"revoked": revoked})


def log_in(request, user, name: str) -> Response:
    """Add a device of the user, and answer its pair. Raise LoginFailed."""
    try:
        pair = flows.log_in(user, Client.from_request(request), name=name)
    except flows.Refused:
        raise LoginFailed from None
    return pair_response(pair)


def pair_response(pair: flows.Pair) -> Response:
    return Response(PAIRS.to_representation(pair))


def renewed(request, renew) -> Response:
    """Call `renew`, which gives the device a new handle, and answer with what holds it.

    An API device gets its new pair. A browser gets 204 and its new cookie. Raise TokenRefused if
    the device has ended meanwhile.
    """
    try:
        handle = renew()
    except flows.Refused as refusal:
        raise TokenRefused(refusal) from None
    if credential_of(request).kind == IssuedToken.Kind.API:
        return pair_response(flows.pair_of(credential_of(request), handle))
    keep_handle(request._request, handle)
    return Response(status=status.HTTP_204_NO_CONTENT)
