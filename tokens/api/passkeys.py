"""The API of a person's own passkeys."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics, serializers, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import passkeys
from accounts.exceptions import PasskeyRequired
from accounts.models import Passkey
from accounts.models.passkeys import NAME_LENGTH
from accounts.passkeys import PasskeyRefused
from accounts.permissions import IsFresh, IsFreshForWrites, credential_of, require_fresh
from accounts.serializers import PasskeyField
from tokens import flows
from tokens.api.devices import read_id
from tokens.authentication import TokenRefused
from tokens.models import IssuedToken


class PasskeySerializer(serializers.ModelSerializer):
    """A passkey as its owner sees it."""

    name = serializers.CharField(max_length=NAME_LENGTH, required=False, allow_blank=True)

    class Meta:
        model = Passkey
        fields = ["id", "name", "created_at", "used_at"]
        read_only_fields = ["id", "created_at", "used_at"]


class NewPasskeySerializer(PasskeySerializer):
    passkey = PasskeyField()

    class Meta(PasskeySerializer.Meta):
        fields = [*PasskeySerializer.Meta.fields, "passkey"]


class OfOwner:
    """The passkeys of the person who asks, the first one first."""

    def get_queryset(self):
        if getattr(self, "swagger_fake_view", False):
            return Passkey.objects.none()
        return self.request.user.passkeys.order_by("created_at", "pk")


class PasskeyListView(OfOwner, generics.ListCreateAPIView):
    """The passkeys of the person who asks. A new one answers the options."""

    refuses = {"POST": (401,)}
    serializer_class = NewPasskeySerializer
    permission_classes = [IsAuthenticated, IsFreshForWrites]

    def perform_create(self, serializer):
        given, device = serializer.validated_data, credential_of(self.request)
        require_voucher(device)
        try:
            serializer.instance, _ = flows.add_passkey(
                device, given["passkey"], given.get("name", ""), flows.voucher_of(device)
            )
        except PasskeyRefused as refusal:
            raise exceptions.ValidationError({"passkey": [str(refusal)]}) from None
        except flows.Refused as refusal:
            raise TokenRefused(refusal) from None


class PasskeyView(OfOwner, generics.RetrieveUpdateDestroyAPIView):
    """One passkey of the person who asks. A name needs no fresh device, as that of a device."""

    question, answer = "Remove this passkey?", "Remove"
    serializer_class = PasskeySerializer
    http_method_names = ["get", "patch", "delete", "head", "options"]

    def get_object(self):
        return generics.get_object_or_404(self.get_queryset(), pk=read_id(self.kwargs["id"]))

    def perform_update(self, serializer):
        passkey = serializer.instance
        passkeys.rename(passkey, serializer.validated_data.get("name", passkey.name))

    def perform_destroy(self, passkey):
        require_fresh(self.request)
        try:
            flows.remove_passkey(credential_of(self.request), passkey)
        except PasskeyRefused as refusal:
            raise PasskeyRequired(str(refusal)) from None
        except flows.Refused as refusal:
            raise TokenRefused(refusal) from None


class PasskeyOptionsView(APIView):
    """WebAuthn's options for a new passkey, good for five minutes on this device."""

    permission_classes = [IsAuthenticated, IsFresh]

    @extend_schema(request=None, responses={200: OpenApiTypes.OBJECT})
    def post(self, request):
        device = credential_of(request)
        require_voucher(device)
        purpose, voucher = passkeys.registration(device.pk), flows.voucher_of(device)
        return options_of(lambda: passkeys.creation_options(request.user, purpose, voucher))


def require_voucher(device: IssuedToken) -> None:
    """Raise PasskeyRequired if staff add or remove a passkey on a device where they used none.

    The first one, and one after a loss, they add on the pages.
    """
    if device.user.lacks_passkey() and passkeys.is_needed(device.user):
        raise PasskeyRequired(passkeys.NEEDED)


def options_of(make) -> Response:
    """The options that `make()` returns. Raise PermissionDenied, with the reason, without any."""
    try:
        return Response(make(), status=status.HTTP_200_OK)
    except PasskeyRefused as refusal:
        raise exceptions.PermissionDenied(str(refusal)) from None
