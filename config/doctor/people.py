from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX, get_hashers
from django.core.validators import slug_re
from django.db.models import Q

from accounts import passkeys
from accounts.models import PasskeyDeadline, Role, User
from accounts.models.users import USERNAME
from config.doctor.findings import ERROR, OK, WARNING, Finding

MAX_NAMED = 10  # usernames, roles
MAX_GIVERS = 100  # people who might give a role


def usernames() -> Finding:
    """Names that a URL folds or cannot hold. No new account can have one."""
    odd = User.objects.exclude(username__regex=rf"\A{USERNAME}\Z")
    names = _named(odd.values_list("username", flat=True)[: MAX_NAMED + 1])
    if not names:
        return Finding(OK, "All can stand in a URL.")
    return Finding(WARNING, f"No longer allowed: {names}.", "Rename them in the admin.")


def passwords() -> Finding:
    """Active accounts whose password no hasher of the settings can verify."""
    known = reduce(or_, (Q(password__startswith=f"{one.algorithm}$") for one in get_hashers()))
    known |= Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    unknown = User.objects.filter(is_active=True).exclude(known)
    names = _named(unknown.values_list("username", flat=True)[: MAX_NAMED + 1])
    if not names:
        return Finding(OK, "Their hashes are of PASSWORD_HASHERS.")
    return Finding(
        WARNING,
        f"Hashes of an unknown kind: {names}.",
        "These people set a new password by mail. Or put the hasher of the old ones into "
        "PASSWORD_HASHERS, after Argon2PasswordHasher.",
    )


def roles() -> Finding:
    """Roles that the API cannot name, and roles that no account may give."""
    all_roles = list(Role.objects.prefetch_related("permissions"))
    odd = _named(role.name for role in all_roles if not slug_re.match(role.name))
    if odd:
        hint = "Delete them and make others, of letters, digits, - and _."
        return Finding(WARNING, f"No URL can name: {odd}.", hint)
    if User.objects.superusers().exists():
        return Finding(OK, "A superuser may give each of them.")
    givers = User.objects.filter(is_active=True, roles__isnull=False).distinct()[:MAX_GIVERS]
    stuck = _named(role.name for role in all_roles if not any(u.may_give(role) for u in givers))
    if stuck:
        return Finding(WARNING, f"Nobody may give: {stuck}.", "Make a superuser: create_admin.")
    return Finding(OK, "Somebody may give each of them.")


def superuser() -> Finding:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        return Finding(ERROR, "None is active.", "Run create_admin.")
    return Finding(OK, "At least one is active.")


def staff_passkeys() -> Finding:
    """Active staff without a passkey that counts for staff."""
    if not settings.STAFF_NEEDS_PASSKEY:
        level = OK if settings.DEBUG else WARNING
        return Finding(level, "STAFF_NEEDS_PASSKEY is off: a password is enough for staff.")
    without = passkeys.without_passkey().values_list("username", flat=True)
    names = _named(without[: MAX_NAMED + 1])
    if not names:
        return Finding(OK, "All of staff have one.")
    deadline = PasskeyDeadline.objects.coming()
    when = f"from {deadline:%Y-%m-%d} on" if deadline else "so they can do nothing as staff"
    return Finding(
        WARNING,
        f"None that counts for staff, {when}: {names}.",
        "Make a link for each: a superuser does on their page in the admin, or run reset_passkeys.",
    )


def _named(names: Iterable[str]) -> str:
    """The first names, quoted."""
    quoted = [repr(name) for name in names]
    return ", ".join(quoted[:MAX_NAMED]) + (" and more" if len(quoted) > MAX_NAMED else "")
