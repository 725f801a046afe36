"""The page that confirms a revocation, and the revocation itself, one piece per request."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.models import User
from accounts.text import clean_text
from tokens import flows
from tokens.browser import get_device, pop_note
from tokens.flows import incident
from tokens.models import NOTE_LENGTH, IssuedToken, IssuedTokenQuerySet
from tokens.step_up import PROOF_FIELD, ask_for_password, ask_for_proof

MAX_SHOWN = 20  # devices on a confirmation page and on a user's page


# Parameters of the list that leave no live device out.
WIDE = {"o", "p", "all", "e", "state"}
SHOWN_FIELD = "shown"
SHOWN_MAX_AGE = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a page has shown, and how far the revocation is. The next form holds it, signed.

    Only devices that were `found` end. `proven` says that the password was given for this.
    """

    found: incident.Found
    done: int = 0
    proven: bool = False

    def sign(self, request) -> str:
        newest = self.found.newest and self.found.newest.isoformat()
        values = [self.found.devices, newest, self.done, self.proven]
        return signing.dumps(values, salt=_salt(request))

    @classmethod
    def read(cls, request) -> "Shown | None":
        """What the form holds. None if it holds nothing that this page has signed lately."""
        text = request.POST.get(SHOWN_FIELD, "")
        try:
            values = signing.loads(text, salt=_salt(request), max_age=SHOWN_MAX_AGE)
        except signing.BadSignature:
            return None
        devices, newest, done, proven = values
        found = incident.Found(devices=devices, newest=datetime.fromisoformat(newest))
        return cls(found=found, done=done, proven=proven)


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
        ticked. Give `user` if all devices belong to that user. For the devices of everybody the
        form asks for the password. Raise PermissionDenied without the permission to revoke.
        """
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        live = devices.live().touchable_by(request.user)
        shown = Shown.read(request) if request.POST.get("confirmed") else None
        if shown:
            return self._act(request, live, shown, user=user, back=back, reason=reason)
        return self._ask(request, live, user=user, back=back, **context)

    def _ask(self, request, live, *, user, back, **context):
        devices, current = _apart(request, live)
        found = incident.find(devices)
        count = found.devices
        # Without devices `newest` is None, and `end` would also take those that sign in later.
        found = replace(found, newest=found.newest or get_device(request).now)
        shown = Shown(found=found).sign(request)
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
            "held": [*_held(request), (SHOWN_FIELD, shown)],
            "proof_field": PROOF_FIELD if user is None and _needs_proof(request) else "",
            "note": _note(request) or pop_note(request),
            "note_length": NOTE_LENGTH,
            "back": back,
        }
        context.setdefault("title", "Revoke a device" if count == 1 else "Revoke devices")
        return TemplateResponse(request, self.revoke_template, context)

    def _act(self, request, live, shown, *, user, back, reason):
        devices, current = _apart(request, live)
        own = current if request.POST.get("include_current") else current.none()
        if user is not None:
            ending = incident.left_of(devices, shown.found)
            keys = [key for part in (ending, own) for key in part.values_list("pk", flat=True)]
            return self._revoke_of_user(request, user, keys, back)
        if _needs_proof(request) and not shown.proven:
            page = ask_for_proof(request, "end everybody's devices")
            if page:
                return page
            shown = replace(shown, proven=True)
        ending = live if own.exists() else devices
        several = ending.exclude(user=ending.values("user")[:1]).exists()
        page = ask_for_password(request) if several and not shown.proven else None
        if page:
            return page
        return self._revoke(request, devices, own, shown, back=back, reason=reason)

    def _revoke_of_user(self, request, user, keys, back):
        ending, note = IssuedToken.objects.filter(pk__in=keys), _note(request)
        ended = flows.revoke_for_user(user, ending, by=request.user, note=note)
        _log_revoked(request, ending, note)
        return _done(request, ended, back, ends_here=get_device(request).pk in keys)

    def _revoke(self, request, devices, own, shown, *, back, reason):
        """End a piece of the devices, then show how far the revocation is.

        `own` is the device in use, or empty. It ends last, because its end signs out the member
        of staff who revokes.
        """
        found, limit = shown.found, incident.PIECE_SIZE
        piece = sum(_end_and_log(request, devices, found, reason, limit=limit))
        done = shown.done + piece
        if piece >= limit:
            return self._progress_page(request, replace(shown, done=done))
        ends_here = own.exists()
        done += sum(_end_and_log(request, own, replace(found, newest=None), reason))
        return _done(request, done, back, ends_here=ends_here)

    def _progress_page(self, request, shown: Shown):
        names = ("confirmed", "note", "include_current")
        held = [(name, request.POST[name]) for name in names if name in request.POST]
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoking devices",
            "opts": IssuedToken._meta,
            "progress": {"done": shown.done, "total": shown.found.devices},
            "held": [*_held(request), *held, (SHOWN_FIELD, shown.sign(request))],
        }
        return TemplateResponse(request, "admin/tokens/progress.html", context)


def _salt(request) -> str:
    """Ties what is signed to this device, this page and this selection."""
    return f"tokens.shown {get_device(request).pk} {request.get_full_path()} {_held(request)}"


def _needs_proof(request) -> bool:
    """Whether the request is about the devices of everybody: nothing narrows them down."""
    if request.POST.get("select_across") == "1":
        return not any(request.GET[name] for name in request.GET.keys() - WIDE)
    return bool(request.GET.get("everybody"))


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


def _end_and_log(request, devices: IssuedTokenQuerySet, found: incident.Found, reason, limit=None):
    """End the devices, and add a line to the history of each. Yield how many each batch ended."""
    note = _note(request)
    for batch, ended in incident.end(
        devices, found, by=request.user, note=note, reason=reason, limit=limit
    ):
        _log_revoked(request, batch, note)
        yield ended


def _done(request, ended: int, back: str, *, ends_here: bool):
    if ended:
        word = "device was" if ended == 1 else "devices were"
        messages.success(request, f"{ended:,} {word} revoked.")
    else:
        messages.info(request, "Nothing was left to revoke.")
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
