from accounts.models.mails import QueuedMail, QueuedMailQuerySet
from accounts.models.passkeys import Passkey, PasskeyDeadline, PasskeyQuerySet, RecoveryCode
from accounts.models.queries import UserQuerySet
from accounts.models.roles import Role, RoleQuerySet, keep_built_in_roles
from accounts.models.throttles import Throttle, ThrottleQuerySet
from accounts.models.users import GuestlistUserManager, User

__all__ = [
    "GuestlistUserManager",
    "Passkey",
    "PasskeyDeadline",
    "PasskeyQuerySet",
    "QueuedMail",
    "QueuedMailQuerySet",
    "RecoveryCode",
    "Role",
    "RoleQuerySet",
    "Throttle",
    "ThrottleQuerySet",
    "User",
    "UserQuerySet",
    "keep_built_in_roles",
]
