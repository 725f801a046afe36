import logging

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import Exists, OuterRef, Q

from accounts import throttling

logger = logging.getLogger(__name__)


class RoleBackend(ModelBackend):
    """Log in by username or verified e-mail address; permissions come from roles."""

    def authenticate(self, request, username=None, password=None, **kwargs):
        """The user, or None after exactly one hash computation, whatever the cause.

        Raise TooManyAttempts, without a computation, for names that exist and for others alike.
        """
        User = get_user_model()
        if username is None or password is None:
            return None
        user = User.objects.with_login(username).first()
        address = request.META.get("REMOTE_ADDR", "") if request else ""
        with throttling.sign_in(username, user, address) as attempt:
            if user is None or attempt.is_blind or not self.user_can_authenticate(user):
                User().set_password(password)
            elif user.check_password(password):
                attempt.succeed()
        if attempt.has_succeeded:
            user.wrong_passwords = attempt.wrong
            return user
        # Not the name that was typed: people type passwords there.
        logger.info("login refused", extra={"user": user and user.pk})
        return None

    def _get_group_permissions(self, user_obj):
        return Permission.objects.filter(roles__users=user_obj).distinct()

    def with_perm(self, perm, is_active=True, include_superusers=True, obj=None):
        """Users with the permission `perm` ("app.codename" or a Permission)."""
        User = get_user_model()
        if obj is not None:
            return User.objects.none()
        if isinstance(perm, Permission):
            wanted = Q(pk=perm.pk)
        else:
            app_label, codename = perm.split(".")
            wanted = Q(content_type__app_label=app_label, codename=codename)
        holds = Q(roles__users=OuterRef("pk")) | Q(user=OuterRef("pk"))
        users = Q(Exists(Permission.objects.filter(wanted & holds)))
        if include_superusers:
            users |= Q(is_superuser=True)
        if is_active is not None:
            users &= Q(is_active=is_active)
        return User.objects.filter(users)
