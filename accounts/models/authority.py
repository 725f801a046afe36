"""What staff may do on a device: nothing, until they have used a passkey there.

It holds for every question about permissions, whoever asks: the admin, views, templates, other
apps. So code that asks Django in the usual way cannot forget it.
"""

from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils.functional import cached_property

from accounts.built_in_roles import BUILT_IN, staff_permissions
from accounts.models.passkeys import PasskeyDeadline


class AuthorityOnDevice:
    """Holds back what is for staff, on a device where they used no passkey that counts for staff.

    That is the admin, every permission of people who may use the admin, and of other people the
    permissions and roles that `role_permissions` of an app declares for staff.

    A user who does not act on a device, as in a command, has what their roles give.
    """

    # The time of the request, and when such a passkey was last used on its device. What finds the
    # device of a request sets both. They are not stored.
    acts_at: datetime | None = None
    proven_at: datetime | None = None
    # Whether something was held back from this user, who has it.
    was_held_back = False

    def lacks_passkey(self) -> bool:
        """Whether the user acts on a device where no passkey of staff was used lately.

        Lately is within STAFF_BROWSER_LIFETIME: the longest that staff stay signed in in a browser.
        """
        if self.acts_at is None:
            return False
        limit = settings.STAFF_BROWSER_LIFETIME
        return self.proven_at is None or self.acts_at - self.proven_at > limit

    def holds_back(self, *, is_for_staff: bool = True) -> bool:
        """Whether this is held back on the device, and note it. Ask only for what the user has."""
        is_held = (
            self._may_hold_back()
            and (is_for_staff or self.is_staff or self.is_superuser)  # type: ignore[attr-defined]
            and self._is_due
        )
        self.was_held_back |= is_held
        return is_held

    def _may_hold_back(self) -> bool:
        """Quick, without a query, and False for nearly every request."""
        return settings.STAFF_NEEDS_PASSKEY and self.lacks_passkey()

    @cached_property
    def _is_due(self) -> bool:
        return PasskeyDeadline.objects.coming() is None

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return super().has_perm(perm, obj) and not self._holds_back_permission(perm)  # type: ignore[misc]

    def has_module_perms(self, app_label: str) -> bool:
        held = super().has_module_perms(app_label)  # type: ignore[misc]
        if not held or not self._may_hold_back():
            return held
        return any(perm.startswith(f"{app_label}.") for perm in self.get_all_permissions())

    def get_all_permissions(self, obj: Any = None) -> set[str]:
        return self._without_held_back(super().get_all_permissions(obj))  # type: ignore[misc]

    def get_user_permissions(self, obj: Any = None) -> set[str]:
        return self._without_held_back(super().get_user_permissions(obj))  # type: ignore[misc]

    def get_group_permissions(self, obj: Any = None) -> set[str]:
        return self._without_held_back(super().get_group_permissions(obj))  # type: ignore[misc]

    # Django's own would ask the backends past these.
    async def ahas_perm(self, perm: str, obj: Any = None) -> bool:
        return await sync_to_async(self.has_perm)(perm, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        return await sync_to_async(self.has_module_perms)(app_label)

    async def aget_all_permissions(self, obj: Any = None) -> set[str]:
        return await sync_to_async(self.get_all_permissions)(obj)

    async def aget_user_permissions(self, obj: Any = None) -> set[str]:
        return await sync_to_async(self.get_user_permissions)(obj)

    async def aget_group_permissions(self, obj: Any = None) -> set[str]:
        return await sync_to_async(self.get_group_permissions)(obj)

    def has_role(self, name: str) -> bool:
        """Ask the database, so that a lost role counts at once."""
        has: bool = self.is_active and self.roles.filter(name=name).exists()  # type: ignore[attr-defined]
        return has and not self.holds_back(is_for_staff=name in BUILT_IN)

    def _without_held_back(self, perms: set[str]) -> set[str]:
        return {perm for perm in perms if not self._holds_back_permission(perm)}

    def _holds_back_permission(self, perm: str) -> bool:
        return self._may_hold_back() and self.holds_back(is_for_staff=perm in staff_permissions())
