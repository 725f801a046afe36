from accounts.models.roles import Role, RoleQuerySet, keep_built_in_roles
from accounts.models.throttles import Throttle, ThrottleQuerySet
from accounts.models.users import GuestlistUserManager, User, UserQuerySet

__all__ = [
    "GuestlistUserManager",
    "Role",
    "RoleQuerySet",
    "Throttle",
    "ThrottleQuerySet",
    "User",
    "UserQuerySet",
    "keep_built_in_roles",
]
