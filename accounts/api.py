"""The API of accounts: signing up, roles, users, and the roles of a user."""

from django.conf import settings
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttling
from accounts.exceptions import CHALLENGE
from accounts.history import log_act
from accounts.models import Role, User
from accounts.permissions import (
    HasPermission,
    IsFreshForWrites,
    MayManageRole,
    ModelPermissions,
    require_fresh,
)
from accounts.proof import require_proof
from accounts.serializers import (
    GivenRoleSerializer,
    RoleSerializer,
    SignupSerializer,
    UserSerializer,
)
from accounts.verification import send_verification


class OpenView(APIView):
    """A view for clients without a token. It ignores an `Authorization` header.

    A failed authentication is a 401.
    """

    authentication_classes = ()
    permission_classes = ()

    def get_authenticate_header(self, request):
        return CHALLENGE


class SignupView(OpenView, generics.GenericAPIView):
    """Create an account. Sign in with it afterwards."""

    refuses = {"POST": (403, 409, 429)}
    serializer_class = SignupSerializer

    @extend_schema(request=SignupSerializer, responses={201: UserSerializer})
    def post(self, request):
        if not settings.SIGNUP_OPEN:
            raise exceptions.PermissionDenied("Signing up is closed here.")
        throttling.count_signup(request.META.get("REMOTE_ADDR", ""))
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            user = serializer.save()
            send_verification(user, user.email)
        return Response(UserSerializer(user).data, status=status.HTTP_201_CREATED)


class RoleListView(generics.ListCreateAPIView):
    refuses = {"POST": (409,)}
    queryset = Role.objects.prefetch_related("permissions")
    serializer_class = RoleSerializer
    permission_classes = [ModelPermissions, IsFreshForWrites]

    def perform_create(self, serializer):
        check_role_name(self.request, serializer)
        with transaction.atomic():
            log_act(self.request, serializer.save(), ADDITION, "Added.")


class RoleView(generics.RetrieveUpdateDestroyAPIView):
    refuses = {"PATCH": (409,)}
    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    permission_classes = [ModelPermissions, IsFreshForWrites, MayManageRole]
    lookup_field = "name"
    http_method_names = ["get", "patch", "delete", "head", "options"]

    def perform_update(self, serializer):
        check_role_name(self.request, serializer)
        role = serializer.instance
        changed = [f for f, value in serializer.validated_data.items() if value != getattr(role, f)]
        with transaction.atomic():
            serializer.save()
            if changed:
                log_act(self.request, role, CHANGE, f"Changed {' and '.join(changed)}.")

    def perform_destroy(self, role):
        if role.is_built_in:
            raise exceptions.PermissionDenied(f"The role {role} is built in and cannot be deleted.")
        with transaction.atomic():
            log_act(self.request, role, DELETION, "Deleted.")
            role.delete()


@extend_schema(
    parameters=[OpenApiParameter("search", str, description="Start of a username or email.")]
)
class UserListView(generics.ListAPIView):
    serializer_class = UserSerializer
    permission_classes = [HasPermission("accounts.view_user")]

    def get_queryset(self):
        users = User.objects.prefetch_related("roles").order_by("username")
        return users.starting_with(self.request.query_params.get("search", ""))


class UserView(generics.RetrieveAPIView):
    serializer_class = UserSerializer
    permission_classes = [HasPermission("accounts.view_user")]

    def get_object(self):
        return get_user(self.kwargs["username"])


class UserRoleView(generics.GenericAPIView):
    """Give a user a role, or take it from them. Both are idempotent."""

    refuses = {"PUT": (429,)}
    serializer_class = GivenRoleSerializer
    permission_classes = [HasPermission("accounts.change_user")]

    @extend_schema(request=GivenRoleSerializer, responses={204: None})
    def put(self, request, username, name):
        """Give the role. One with permissions asks for `current_password` each time."""
        self.get_serializer(data=request.data).is_valid(raise_exception=True)
        user, role = self._find(request, name)
        if role.permission_labels():
            require_proof(request)
        else:
            require_fresh(request)
        with transaction.atomic():
            if not user.roles.filter(pk=role.pk).exists():
                user.roles.add(role)
                log_act(request, user, CHANGE, f"Gave the role {role}.")
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request, username, name):
        user, role = self._find(request, name)
        require_fresh(request)
        with transaction.atomic():
            if user.roles.filter(pk=role.pk).exists():
                user.roles.remove(role)
                log_act(request, user, CHANGE, f"Took the role {role}.")
        return Response(status=status.HTTP_204_NO_CONTENT)

    def get_object(self):
        return get_user(self.kwargs["username"])

    def _find(self, request, name: str) -> tuple[User, Role]:
        """The user and the role. Raise PermissionDenied as the admin would refuse the change."""
        user = self.get_object()
        if not request.user.may_touch(user):
            raise exceptions.PermissionDenied("Only a superuser may change a superuser.")
        if not request.user.may_edit(user):
            raise exceptions.PermissionDenied(
                "You may not change an account that may do more than yours."
            )
        role = get_object_or_404(Role, name=name)
        if not request.user.may_give(role):
            raise exceptions.PermissionDenied(f"This role {role.refusal()}")
        return user, role


def check_role_name(request, serializer: RoleSerializer) -> None:
    """Raise PermissionDenied for a new name of a role that only a superuser gives."""
    name = serializer.validated_data.get("name", "")
    if not request.user.may_name_role(name):
        raise exceptions.PermissionDenied(
            "Code asks for this role, so only a superuser may add it."
        )


def get_user(username: str) -> User:
    """The user of that name, without regard to case. Raise Http404."""
    return get_object_or_404(User.objects.with_login(username))
