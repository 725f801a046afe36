"""Permission classes of the API: by role, by permission, by a password given lately."""

from typing import Any, Protocol

from django.conf import settings
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import (
    SAFE_METHODS,
    BasePermission,
    DjangoModelPermissions,
    OperationHolderMixin,
)

from accounts.built_in_roles import ASKED_FOR
from accounts.exceptions import ReauthenticationRequired


class HasRole(OperationHolderMixin, BasePermission):
    """Let holders of a role in: `permission_classes = [HasRole("admin")]`.

    It can be combined with `&`, `|` and `~`, like DRF's own permission classes. The role is read
    from the database on each request.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        ASKED_FOR.add(name)

    def __call__(self) -> "HasRole":
        """Return this object, because DRF calls each entry of `permission_classes`."""
        return self

    def has_permission(self, request, view):
        return request.user.is_authenticated and request.user.has_role(self.name)

    def has_object_permission(self, request, view, obj):
        """Give the same answer. DRF's default is yes, and `~` would turn that into no for all."""
        return self.has_permission(request, view)


class HasPermission(HasRole):
    """Let holders of a permission in: `HasPermission("tokens.revoke_issuedtoken")`."""

    def has_permission(self, request, view):
        return request.user.is_authenticated and request.user.has_perm(self.name)


class ModelPermissions(DjangoModelPermissions):
    """DRF's own, except that reading needs the view permission."""

    view = ["%(app_label)s.view_%(model_name)s"]
    perms_map = DjangoModelPermissions.perms_map | {"GET": view, "HEAD": view}


class MayManageRole(BasePermission):
    """Let only people change a role who may manage it (`User.may_manage`)."""

    def has_object_permission(self, request, view, obj):
        if request.method in SAFE_METHODS or request.user.may_manage(obj):
            return True
        raise PermissionDenied(f"This role {obj.refusal()}")


class MayBeFresh(Protocol):
    """What `IsFresh` needs of `request.auth`: whether the password was given there lately."""

    def is_fresh(self) -> bool: ...


class IsFresh(BasePermission):
    """Ask for the password when the last one on this device is too old (RFC 9470)."""

    def has_permission(self, request, view):
        require_fresh(request)
        return True


class IsFreshForWrites(IsFresh):
    def has_permission(self, request, view):
        return request.method in SAFE_METHODS or super().has_permission(request, view)


def credential_of(request) -> Any:
    """`request.auth`, for what needs it. Raise NotAuthenticated (401) for a request without one.

    A test has none after DRF's `force_authenticate(user)`.
    """
    if request.auth is None:
        raise NotAuthenticated
    return request.auth


def require_fresh(request) -> None:
    """Raise ReauthenticationRequired unless `request.auth` is fresh."""
    credential: MayBeFresh = credential_of(request)
    if not credential.is_fresh():
        raise ReauthenticationRequired(int(settings.STEP_UP_MAX_AGE.total_seconds()))
