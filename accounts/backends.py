import logging

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db import router

from accounts import throttling
from accounts.models import User

logger = logging.getLogger(__name__)


class RoleBackend(ModelBackend):
    """Log in by username or verified email address; permissions come from roles."""

    def authenticate(self, request, username=None, password=None, **kwargs):
        """Return the user, or None. Both take exactly one computation of a hash.

        Raise TooManyAttempts before that computation, for known and unknown names alike.
        """
        if username is None or password is None:
            return None
        user = User.objects.with_login(username).first()
        address = request.META.get("REMOTE_ADDR", "") if request else ""
        with throttling.log_in(username, user, address) as attempt:
            if user is None or not self.user_can_authenticate(user):
                User().set_password(password)  # computes a hash, as a known name does
            elif user.check_password(password):
                attempt.succeed()
        if attempt.has_succeeded:
            user.wrong_passwords = attempt.wrong
            return user
        # The typed name is not logged, because people sometimes type their password there.
        logger.info("login refused", extra={"user": user and user.pk})
        return None

    async def aauthenticate(self, request, username=None, password=None, **kwargs):
        """Do what `authenticate` does. Django's own counts no attempt."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)

    def get_user(self, user_id):
        """Return None, for every user: what Django keeps in a session signs nobody in.

        So a reader of the session that asks nobody else, such as `contrib.auth.get_user()`, finds
        an anonymous user.
        """

    async def aget_user(self, user_id):
        """Return None, as `get_user` does."""

    def _get_group_permissions(self, user_obj):
        held = Permission.objects.using(router.db_for_write(Permission))
        return held.filter(roles__users=user_obj).distinct()

    def _get_user_permissions(self, user_obj):
        return user_obj.user_permissions.using(router.db_for_write(Permission))
