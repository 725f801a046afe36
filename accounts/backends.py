import logging
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import router
from django.db.models import CharField

from accounts import compiled, throttling
from accounts.compiled import Parameter
from accounts.models import User
from accounts.passkeys import GivenPasskey, PasskeyRefused

logger = logging.getLogger(__name__)


def find_user(name: str) -> User | None:
    """The user of `with_login()`, by a query that is compiled once."""
    is_email = "@" in name
    statement = compiled.select(router.db_for_write(User), _by_email if is_email else _by_username)
    rows = statement.fetch(name=name if is_email else User.normalize_username(name))
    return compiled.instance(User, statement.alias, statement.names, rows[0]) if rows else None


def _by_username() -> Any:
    return User.objects.with_username(Parameter("name", CharField()))


def _by_email() -> Any:
    return User.objects.with_verified_email(Parameter("name", CharField()))


class RoleBackend(ModelBackend):
    """Log in by username or verified email address; permissions come from roles."""

    def authenticate(
        self, request, username=None, password=None, *, passkey=None, keep_attempt=False, **kwargs
    ):
        """Return the user, or None. With a password both take exactly one computation of a hash.

        With `passkey`, a `GivenPasskey`, neither takes one.

        With `keep_attempt` the caller lets `user.attempt` succeed, in the transaction of the login
        (`throttling.deciding`). Raise TooManyAttempts before the computation, for known and unknown
        names alike.
        """
        if passkey is not None:
            return self._by_passkey(request, passkey, keep_attempt=keep_attempt)
        if username is None or password is None:
            return None
        user = find_user(username)
        address = request.META.get("REMOTE_ADDR", "") if request else ""
        with throttling.log_in(username, user, address) as attempt:
            if user is None or not self.user_can_authenticate(user):
                make_password(password)  # computes a hash, as a known name does
            elif user.check_password(password):
                attempt.has_succeeded = True
        if user and attempt.has_succeeded:
            user.wrong_passwords, user.attempt = attempt.wrong, attempt
            if not keep_attempt:
                user.attempt = None
                attempt.succeed()
            return user
        # The typed name is not logged, because people sometimes type their password there.
        logger.info("login refused", extra={"user": user and user.pk})
        return None

    def _by_passkey(self, request, passkey: GivenPasskey, *, keep_attempt: bool) -> User | None:
        address = request.META.get("REMOTE_ADDR", "") if request else ""
        user = None
        with throttling.log_in_by_passkey(address) as attempt:
            try:
                user = passkey.spend()
            except PasskeyRefused:
                logger.info("login refused", extra={"user": None})
            if user and attempt:
                attempt.has_succeeded = True
        if user and attempt and keep_attempt:
            user.attempt = attempt
        elif user and attempt:
            attempt.succeed()
        return user

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
