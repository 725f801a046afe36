"""The API of accounts: signing up, roles, users, and the roles of a user."""

from django.conf import settings
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, status
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttling
from accounts.exceptions import CHALLENGE
from accounts.models import Role, User
from accounts.permissions import HasPermission, IsFresh, IsFreshForWrites, ModelPermissions
from accounts.serializers import RoleSerializer, SignupSerializer, UserSerializer
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
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        throttling.count_signup(request.META.get("REMOTE_ADDR", ""))
        user = serializer.save()
        send_verification(user, user.email)
        return Response(UserSerializer(user).data, status=status.HTTP_201_CREATED)


class RoleListView(generics.ListCreateAPIView):
    refuses = {"POST": (409,)}
    queryset = Role.objects.prefetch_related("permissions")
    serializer_class = RoleSerializer
    permission_classes = [ModelPermissions, IsFreshForWrites]


class RoleView(generics.RetrieveUpdateDestroyAPIView):
    refuses = {"PATCH": (409,)}
    queryset = Role.objects.all()
    serializer_class = RoleSerializer
    permission_classes = [ModelPermissions, IsFreshForWrites]
    lookup_field = "name"
    http_method_names = ["get", "patch", "delete", "head", "options"]

    def perform_destroy(self, role):
        if role.is_built_in:
            raise exceptions.PermissionDenied(f"The role {role} is built in and stays.")
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


class UserRoleView(APIView):
    """Give a user a role, or take it from them. Both are idempotent."""

    permission_classes = [HasPermission("accounts.change_user"), IsFresh]

    @extend_schema(request=None, responses={204: None})
    def put(self, request, username, name):
        user, role = self._find(request, username, name)
        if not request.user.may_give(role):
            raise exceptions.PermissionDenied("This role has permissions that you do not have.")
        user.roles.add(role)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request, username, name):
        user, role = self._find(request, username, name)
        user.roles.remove(role)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _find(self, request, username: str, name: str) -> tuple[User, Role]:
        user = get_user(username)
        if not request.user.may_touch(user):
            raise exceptions.PermissionDenied("Only a superuser changes a superuser.")
        return user, get_object_or_404(Role, name=name)


def get_user(username: str) -> User:
    """The user of that name, without regard to case. Raise Http404."""
    return get_object_or_404(User.objects.with_login(username))
