import uuid
from typing import Any

from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import Case, Value, When
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, status
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts import throttling
from accounts.api import OpenView, get_user
from accounts.exceptions import LoginFailed
from accounts.models import User
from accounts.permissions import HasPermission, IsFresh, require_fresh
from accounts.serializers import UserSerializer, save_unique
from accounts.verification import send_verification, tell_of_new_names
from tokens import flows
from tokens.authentication import TokenRefused
from tokens.client import Client
from tokens.models import IssuedToken, IssuedTokenQuerySet, State
from tokens.receivers import keep_handle
from tokens.serializers import (
    DeviceSerializer,
    IncidentResultSerializer,
    IncidentSerializer,
    LoginSerializer,
    NoteSerializer,
    PairSerializer,
    PasswordSerializer,
    ProfileSerializer,
    ReauthenticateSerializer,
    RefreshSerializer,
    RevokedSerializer,
)

SAMPLE = 20  # devices that a dry run shows
PAIRS = PairSerializer()  # one for all: DRF copies the fields of each, dearer than any query
STATE_PARAMETER = OpenApiParameter(
    "state", enum=[*State.values, "all"], default=State.LIVE, description="Which devices."
)


class IndexView(OpenView):
    """Where everything is."""

    @extend_schema(responses={200: dict[str, str]})
    def get(self, request):
        names = (
            "schema docs signup login refresh reauthenticate logout logout-others logout-all "
            "me password devices roles users"
        )
        return Response({name: reverse(f"api:{name}", request=request) for name in names.split()})


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class LoginView(OpenView, generics.GenericAPIView):
    """Sign in on a new device. Sets no cookie."""

    serializer_class = LoginSerializer

    @extend_schema(request=LoginSerializer, responses={200: PairSerializer})
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        credentials = serializer.validated_data
        user = authenticate(
            request, username=credentials["username"], password=credentials["password"]
        )
        if user is None:
            raise LoginFailed
        client = Client.from_request(request)
        try:
            pair = flows.log_in(user, client, name=credentials["device_name"])
        except flows.Refused:
            raise LoginFailed from None
        return pair_response(pair)


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class RefreshView(OpenView, generics.GenericAPIView):
    """The next pair for a refresh token. Send the same token and key again if no answer came."""

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
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            pair = flows.refresh(
                serializer.validated_data["refresh_token"],
                Client.from_request(request),
                attempt=request.headers.get("Idempotency-Key"),
            )
        except flows.Refused as refusal:
            raise TokenRefused(refusal) from None
        return pair_response(pair)


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class ReauthenticateView(generics.GenericAPIView):
    """Give the password again, to be fresh. The device's former tokens or cookie end."""

    serializer_class = ReauthenticateSerializer

    @extend_schema(request=ReauthenticateSerializer, responses={200: PairSerializer, 204: None})
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return renewed(request, lambda: flows.reauthenticate(request.auth, request.user))


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class PasswordView(generics.GenericAPIView):
    """Change the password. Every other device ends, this one gets new tokens or a new cookie."""

    serializer_class = PasswordSerializer

    @extend_schema(request=PasswordSerializer, responses={200: PairSerializer, 204: None})
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        request.user.set_password(serializer.validated_data["new_password"])
        return renewed(request, lambda: flows.change_password(request.user, request.auth))


class LogoutView(APIView):
    """Sign out on this device."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request):
        flows.log_out(request.auth)
        forget_cookie(request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class LogoutOthersView(APIView):
    """Sign out on all other devices."""

    permission_classes = [*APIView.permission_classes, IsFresh]

    @extend_schema(request=None, responses={200: RevokedSerializer})
    def post(self, request):
        return Response({"revoked": flows.log_out_others(request.auth)})


class LogoutAllView(APIView):
    """Sign out on all devices, this one too."""

    permission_classes = [*APIView.permission_classes, IsFresh]

    @extend_schema(request=None, responses={200: RevokedSerializer})
    def post(self, request):
        revoked = flows.log_out_all(request.user)
        forget_cookie(request)
        return Response({"revoked": revoked})


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class MeView(generics.GenericAPIView):
    """Who is signed in."""

    serializer_class = ProfileSerializer

    @extend_schema(responses={200: UserSerializer})
    def get(self, request):
        return Response(UserSerializer(request.user).data)

    @extend_schema(request=ProfileSerializer, responses={200: UserSerializer})
    def patch(self, request):
        """A new e-mail address counts once the link sent to it is opened. The present one, sent
        again while it is not verified, asks for another link."""
        user = request.user
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changes = serializer.validated_data
        names = {"username", "email"} & changes.keys()
        if any(changes[name] != getattr(user, name) for name in names):
            throttling.count_signup(request.META.get("REMOTE_ADDR", ""))
        serializer.check_names(user.pk)
        if changes.get("username", user.username) != user.username:
            user.username = changes["username"]
            save_unique(user, update_fields=["username"])
            tell_of_new_names(user, user.email)
        email = changes.get("email", user.email)
        if email != user.email or ("email" in changes and user.email_verified_at is None):
            send_verification(user, email)
        return Response(UserSerializer(user).data)


class DeviceListView(generics.ListAPIView):
    """The devices of one person, the current one first, then by last seen."""

    serializer_class = DeviceSerializer

    @extend_schema(parameters=[STATE_PARAMETER])
    def get(self, request, *args, **kwargs):
        return super().get(request, *args, **kwargs)

    def get_owner(self):
        return self.request.user

    def get_queryset(self):
        if getattr(self, "swagger_fake_view", False):
            return IssuedToken.objects.none()
        devices = self.get_owner().devices.with_state()
        state = self.request.query_params.get("state", State.LIVE)
        if state != "all":
            if state not in State.values:
                raise exceptions.ValidationError({"state": [f"One of {State.values} or all."]})
            devices = devices.in_state(state)
        current_first = Case(When(pk=self.request.auth.pk, then=Value(0)), default=Value(1))
        return devices.order_by(current_first, "-last_seen_at", "-pk")

    def get_serializer_context(self):
        return {**super().get_serializer_context(), "current": self.request.auth}


class DeviceView(generics.RetrieveUpdateDestroyAPIView):
    """One of one's own devices."""

    serializer_class = DeviceSerializer
    http_method_names = ["get", "patch", "delete", "head", "options"]

    def get_object(self):
        return get_device_of(self.request.user, self.kwargs["id"])

    def get_serializer_context(self):
        return {**super().get_serializer_context(), "current": self.request.auth}

    def perform_update(self, serializer):
        device = serializer.instance
        device.name = serializer.validated_data.get("name", device.name)
        IssuedToken.objects.filter(pk=device.pk).update(name=device.name)

    def perform_destroy(self, device):
        """End another device only if fresh; one that has ended already needs nothing."""
        if device.state != State.LIVE:
            return
        if device.pk != self.request.auth.pk:
            require_fresh(self.request)
        flows.end_own_device(self.request.auth, device)
        if device.pk == self.request.auth.pk:
            forget_cookie(self.request)


class UserDeviceListView(DeviceListView):
    """The devices of a user, for staff."""

    permission_classes = [HasPermission("tokens.view_issuedtoken")]

    def get_owner(self):
        return get_user(self.kwargs["username"])


class UserDevicesRevokeView(generics.GenericAPIView):
    """Revoke all live devices of a user, as staff."""

    serializer_class = NoteSerializer
    permission_classes = [HasPermission("tokens.revoke_issuedtoken")]

    @extend_schema(
        operation_id="users_devices_revoke_all",
        request=NoteSerializer,
        responses={200: RevokedSerializer},
    )
    def post(self, request, username):
        user = get_user(username)
        return revoke_as_staff(request, user, user.devices.all())


class UserDeviceRevokeView(generics.GenericAPIView):
    """Revoke one device of a user, as staff."""

    serializer_class = NoteSerializer
    permission_classes = [HasPermission("tokens.revoke_issuedtoken")]

    @extend_schema(request=NoteSerializer, responses={200: RevokedSerializer})
    def post(self, request, username, id):
        user = get_user(username)
        device = get_device_of(user, id)
        return revoke_as_staff(request, user, user.devices.filter(pk=device.pk))


class IncidentView(generics.GenericAPIView):
    """Find the live devices of many people by what they have in common, and end them.

    A request ends at most 10,000, so that none runs into a time limit: repeat it until nothing
    remains, with `signed_in_before`, so that people who sign in again meanwhile stay. People are
    mailed by a request that finds at most 1,000.
    """

    serializer_class = IncidentSerializer
    permission_classes = [HasPermission("tokens.revoke_issuedtoken"), IsFresh]

    @extend_schema(
        operation_id="users_devices_revoke_matching",
        request=IncidentSerializer,
        responses={200: IncidentResultSerializer},
    )
    def post(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        devices = IssuedToken.objects.matching(**asked["criteria"]).live()
        devices = devices.touchable_by(request.user).exclude(pk=request.auth.pk)
        result = devices.summary()
        result |= {"matched": result["devices"], "revoked": 0, "remaining": result["devices"]}
        if asked["dry_run"]:
            result |= look_at(devices)
        elif result["matched"]:
            result["revoked"] = revoke_piece(devices, result, request.user, asked["note"])
            result["remaining"] = devices.filter(created_at__lte=result["newest"]).count()
        return Response(IncidentResultSerializer(result).data)


def look_at(devices: IssuedTokenQuerySet) -> dict[str, Any]:
    """What a dry run shows beside the counts."""
    groups = {
        title: [{"name": name, "count": count} for name, count in largest]
        for title, largest in devices.breakdown().items()
    }
    return {
        "sample": devices.with_state().order_by("-created_at", "-pk")[:SAMPLE],
        "breakdown": groups,
    }


def revoke_piece(devices: IssuedTokenQuerySet, found: dict[str, Any], by: User, note: str) -> int:
    """End at most PIECE of the devices that were found; return how many."""
    counted = devices.filter(created_at__lte=found["newest"])
    tell = found["matched"] <= flows.MAILED
    revoked = 0
    for _, ended in flows.revoke_in_batches(
        counted, reason=IssuedToken.Reason.INCIDENT, by=by, note=note, tell=tell
    ):
        revoked += ended
        if revoked >= flows.PIECE:
            break
    return revoked


def get_device_of(user: User, id: str) -> IssuedToken:
    """The device of that user. Raise Http404, also for an id that is none."""
    try:
        key = uuid.UUID(id)
    except ValueError:
        raise Http404 from None
    if str(key) != id.lower():  # UUID() reads other spellings too
        raise Http404
    return get_object_or_404(user.devices.with_state(), pk=key)


def revoke_as_staff(request, user: User, devices: IssuedTokenQuerySet) -> Response:
    if not request.user.may_touch(user):
        raise exceptions.PermissionDenied("Only a superuser revokes a superuser's devices.")
    serializer = NoteSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    note = serializer.validated_data["note"]
    revoked = flows.revoke_for_user(user, devices, by=request.user, note=note)
    return Response({"revoked": revoked})


def pair_response(pair: flows.Pair) -> Response:
    return Response(PAIRS.to_representation(pair))


def renewed(request, renew) -> Response:
    """The answer to a step-up: the new pair, or for a browser its new cookie."""
    try:
        handle = renew()
    except flows.Refused as refusal:
        raise TokenRefused(refusal) from None
    if request.auth.kind == IssuedToken.Kind.API:
        return pair_response(flows.pair_of(request.auth, handle))
    keep_handle(request._request, handle)
    return Response(status=status.HTTP_204_NO_CONTENT)


def forget_cookie(request) -> None:
    """Leave no cookie of a device that has just ended."""
    if request.auth.kind == IssuedToken.Kind.BROWSER:
        request.session.flush()
