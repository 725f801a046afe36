"""The pages of the admin, as tests read and send them."""

import re
from html import unescape

from django.contrib.auth.models import Permission

from accounts.models import Role
from tests.plugins.guestlist import make_user

USERS = "/admin/accounts/user/"
ROLES = "/admin/accounts/role/"


def permission(label):
    app_label, codename = label.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


def make_role(name, *labels):
    role = Role.objects.create(name=name)
    role.permissions.set([permission(label) for label in labels])
    return role


def make_staff(username, *labels):
    user = make_user(username, is_staff=True)
    user.roles.add(make_role(f"{username}-role", *labels))
    return user


def url_of(item, page="change"):
    meta = item._meta
    return f"/admin/{meta.app_label}/{meta.model_name}/{item.pk}/{page}/"


def stored_form(item):
    """What the change page of a stored user or role would send."""
    if isinstance(item, Role):
        data = {"name": item.name, "description": item.description}
        return data | {"permissions": [held.pk for held in item.permissions.all()]}
    data = {"username": item.username, "email": item.email}
    for name in ("is_active", "is_staff", "is_superuser"):
        data |= {name: "on"} if getattr(item, name) else {}
    return data | {"roles": [role.pk for role in item.roles.all()]}


def save(page, item, *, without=(), **changes):
    data = stored_form(item) | changes
    data = {name: value for name, value in data.items() if name not in without}
    answer = page.post(url_of(item), data)
    item.refresh_from_db()
    return answer


def assert_saved(answer):
    assert answer.status_code == 302, answer.context["adminform"].form.errors


def assert_not_saved(answer, message):
    assert answer.status_code == 200
    assert message in unescape(answer.content.decode())


def hidden(answer):
    """The hidden fields of the page's form, as a browser would send them back."""
    fields = {}
    for name, value in re.findall(
        r'<input type="hidden" name="([^"]*)" value="([^"]*)">', answer.content.decode()
    ):
        if name != "csrfmiddlewaretoken":
            fields.setdefault(unescape(name), []).append(unescape(value))
    return fields


def text_of(answer):
    """The page without its tags, and with one space where there was any."""
    html = unescape(re.sub(r"<[^>]*>", " ", answer.content.decode()))
    return re.sub(r"\s+", " ", html)
