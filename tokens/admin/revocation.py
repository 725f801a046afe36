"""The page that confirms a revocation, and the revocation itself, one piece per request."""

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.models import User
from accounts.text import clean_text
from tokens import flows
from tokens.browser import get_device
from tokens.flows import incident
from tokens.models import NOTE_LENGTH, IssuedToken, IssuedTokenQuerySet
from tokens.step_up import ask_for_password

MAX_SHOWN = 20  # devices on a confirmation page and on a user's page


class ProgressForm(forms.Form):
    """How far a revocation is. Hidden fields carry it from each request to the next."""

    total = forms.IntegerField()
    done = forms.IntegerField()
    # When the newest counted device signed in. Devices that sign in later are not ended.
    newest = forms.DateTimeField()


class RevokePages:
    """The confirmation page. Every button and action that revokes devices leads to it."""

    revoke_template = "admin/tokens/revoke.html"

    def has_revoke_permission(self, request):
        return request.user.has_perm("tokens.revoke_issuedtoken")

    def may_revoke(self, request, user: User) -> bool:
        return self.has_revoke_permission(request) and request.user.may_touch(user)

    def confirm_revoke(
        self,
        request,
        devices: IssuedTokenQuerySet,
        *,
        back: str,
        user: User | None = None,
        reason: str = IssuedToken.Reason.STAFF,
        **context: Any,
    ):
        """Show which live devices would end. On the confirmed POST, end them and go `back`.

        Only a superuser ends the devices of superusers. The device in use ends only if its box is
        ticked. Give `user` if all devices belong to that user. Raise PermissionDenied without the
        permission to revoke.
        """
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        live = devices.live().touchable_by(request.user)
        if request.method == "POST" and request.POST.get("confirmed"):
            return self._act(request, live, user=user, back=back, reason=reason)
        return self._ask(request, live, user=user, back=back, **context)

    def _ask(self, request, live, *, user, back, **context):
        devices, current = _apart(request, live)
        found = incident.find(devices)
        count = found.devices
        context |= {
            **self.admin_site.each_context(request),
            "opts": IssuedToken._meta,
            "count": count,
            "people": found.people,
            "shown": devices.select_related("user").order_by("-created_at", "-pk")[:MAX_SHOWN],
            "more": max(count - MAX_SHOWN, 0),
            "breakdown": count > MAX_SHOWN and _titled(devices.breakdown()),
            "spares_superusers": user is None and not request.user.is_superuser,
            "mailed": user is not None or found.is_mailed,
            "holds_current": current.exists(),
            "held": _held(request),
            "note_length": NOTE_LENGTH,
            "back": back,
        }
        context.setdefault("title", "Revoke a device" if count == 1 else "Revoke devices")
        return TemplateResponse(request, self.revoke_template, context)

    def _act(self, request, live, *, user, back, reason):
        devices, current = _apart(request, live)
        ticked = bool(request.POST.get("include_current"))
        ending = live if ticked else devices
        if user is not None:
            return self._revoke_of_user(request, user, ending, back)
        own = current if ticked else current.none()
        several = ending.exclude(user=ending.values("user")[:1]).exists()
        return (several and ask_for_password(request)) or self._revoke(
            request, devices, own, back, reason
        )

    def _revoke_of_user(self, request, user, devices, back):
        keys = list(devices.values_list("pk", flat=True))
        note = _note(request)
        ended = flows.revoke_for_user(user, devices, by=request.user, note=note)
        _log_revoked(request, IssuedToken.objects.filter(pk__in=keys), note)
        return _done(request, ended, back, ends_here=get_device(request).pk in keys)

    def _revoke(self, request, devices, own, back, reason):
        """End a piece of the devices, then show how far the revocation is.

        `own` is the device in use, or empty. It ends last, because its end signs out the member
        of staff who revokes.
        """
        found, done = _progress(request, devices)
        piece = sum(_end_and_log(request, devices, found, reason, limit=incident.PIECE_SIZE))
        done += piece
        if piece >= incident.PIECE_SIZE:
            return self._progress_page(request, found, done)
        ends_here = own.exists()
        done += sum(_end_and_log(request, own, replace(found, newest=None), reason))
        return _done(request, done, back, ends_here=ends_here)

    def _progress_page(self, request, found: incident.Found, done: int):
        names = ("confirmed", "note", "include_current")
        held = [(name, request.POST[name]) for name in names if name in request.POST]
        held += [("total", found.devices), ("done", done), ("newest", found.newest.isoformat())]
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoking devices",
            "opts": IssuedToken._meta,
            "progress": {"done": done, "total": found.devices},
            "held": _held(request) + held,
        }
        return TemplateResponse(request, "admin/tokens/progress.html", context)


def _apart(
    request, devices: IssuedTokenQuerySet
) -> tuple[IssuedTokenQuerySet, IssuedTokenQuerySet]:
    """The devices without the one in use; and the one in use, if it is among them."""
    own = get_device(request).pk
    return devices.exclude(pk=own), devices.filter(pk=own)


def _titled(breakdown: dict[str, Any]) -> list[tuple[str, Any]]:
    kinds = [(IssuedToken.Kind(kind).label, count) for kind, count in breakdown["kind"]]
    titles = {"os": "OS", "browser": "client", "location": "place"}
    return [
        (titles.get(name, name), groups) for name, groups in (breakdown | {"kind": kinds}).items()
    ]


def _progress(request, devices: IssuedTokenQuerySet) -> tuple[incident.Found, int]:
    """What was found, and how many of these devices have ended.

    The fields of the progress page say it. The first request has none, so it counts the devices.
    """
    form = ProgressForm(request.POST)
    if form.is_valid():
        held = form.cleaned_data
        return incident.Found(devices=held["total"], newest=held["newest"]), held["done"]
    found = incident.find(devices)
    # Without devices `newest` is None, and `end` would also take those that sign in from now on.
    return replace(found, newest=found.newest or get_device(request).now), 0


def _end_and_log(request, devices: IssuedTokenQuerySet, found: incident.Found, reason, limit=None):
    """End the devices, and add a line to the history of each. Yield how many each batch ended."""
    note = _note(request)
    for batch, ended in incident.end(
        devices, found, by=request.user, note=note, reason=reason, limit=limit
    ):
        _log_revoked(request, batch, note)
        yield ended


def _done(request, ended: int, back: str, *, ends_here: bool):
    word = "device was" if ended == 1 else "devices were"
    messages.success(request, f"{ended:,} {word} revoked.")
    return redirect("admin:login" if ends_here else back)


def _note(request) -> str:
    return clean_text(request.POST.get("note", ""), NOTE_LENGTH)


def _held(request) -> list[tuple[str, str]]:
    """The fields that say which action runs on which devices. The next form sends them again."""
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _log_revoked(request, devices: IssuedTokenQuerySet, note: str) -> None:
    """Add a line to the history of each of the devices that this member of staff ended."""
    message = f"Revoked: {note}" if note else "Revoked."
    ended = devices.filter(revoked_by=request.user)
    LogEntry.objects.log_actions(request.user.pk, ended, CHANGE, change_message=message)
