from accounts.models import User
from accounts.models.users import USERNAME
from config.doctor.findings import ERROR, OK, WARNING, Finding

MAX_NAMED = 10  # usernames


def usernames() -> Finding:
    """Names that a URL folds or cannot hold. No new account can have one."""
    odd = User.objects.exclude(username__regex=rf"\A{USERNAME}\Z")
    names = [repr(name) for name in odd.values_list("username", flat=True)[: MAX_NAMED + 1]]
    if not names:
        return Finding(OK, "All can stand in a URL.")
    more = " and more" if len(names) > MAX_NAMED else ""
    message = f"No longer allowed: {', '.join(names[:MAX_NAMED])}{more}."
    return Finding(WARNING, message, "Rename them in the admin.")


def superuser() -> Finding:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        return Finding(ERROR, "None is active.", "Run create_admin.")
    return Finding(OK, "At least one is active.")
