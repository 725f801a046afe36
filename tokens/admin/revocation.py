"""The page that confirms a revocation, and the revocation itself, one piece per request."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.forms import passkey_url
from accounts.models import User
from tokens import flows
from tokens.admin.orders import SHOWN_FIELD, Order, Shown, held
from tokens.admin.outcome import log_revoked, tell
from tokens.admin.reasons import ReasonForm
from tokens.browser import get_device, pop_note
from tokens.flows import incident
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.step_up import PROOF_FIELD, ask_for_password, ask_for_proof

MAX_SHOWN = 20  # devices on a confirmation page and on a user's page
# Parameters of the list that leave no live device out.
WIDE = {"o", "p", "all", "e", "state"}


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
        devices = devices.touchable_by(request.user)
        shown = Shown.read(request) if request.POST.get("confirmed") else None
        form = ReasonForm(request.POST) if shown else ReasonForm(initial=_typed(request))
        if shown and form.is_valid():
            note = form.text()
            order = Order(
                devices=devices, shown=shown, user=user, reason=reason, note=note, back=back
            )
            return self._act(request, order)
        return self._ask(request, devices, form=form, user=user, back=back, **context)

    def _ask(self, request, devices, *, form, user, back, **context):
        live, current = _apart(request, devices.live())
        found = incident.find(live)
        count, now = found.devices, get_device(request).now
        # Without devices `newest` is None, and `end` would also take those that sign in later.
        shown = Shown(found=replace(found, newest=found.newest or now), at=now)
        context |= {
            **self.admin_site.each_context(request),
            "opts": IssuedToken._meta,
            "count": count,
            "people": found.people,
            "shown": live.with_state().order_by("-created_at", "-pk")[:MAX_SHOWN],
            "more": max(count - MAX_SHOWN, 0),
            "breakdown": count > MAX_SHOWN and _titled(live.breakdown()),
            "spares_superusers": user is None and not request.user.is_superuser,
            "mailed": user is not None or found.is_mailed,
            "holds_current": current.exists(),
            "held": [*held(request), (SHOWN_FIELD, shown.sign(request))],
            "proof_field": PROOF_FIELD if user is None and _needs_proof(request) else "",
            "passkey_url": passkey_url(request.user),
            "form": form,
            "back": back,
        }
        is_one = count == 1 or context.get("ended")
        context.setdefault("title", "Revoke a device" if is_one else "Revoke devices")
        return TemplateResponse(request, self.revoke_template, context)

    def _act(self, request, order: Order):
        live = order.devices.live()
        devices, current = _apart(request, live)
        own = current if request.POST.get("include_current") else current.none()
        order = replace(order, devices=order.devices.exclude(pk=get_device(request).pk))
        if order.user is not None:
            return self._revoke_of_user(request, order, own)
        if _needs_proof(request) and not order.shown.proven:
            page = ask_for_proof(request, "end everybody's devices")
            if page:
                return page
            order = replace(order, shown=replace(order.shown, proven=True))
        ending = live if own.exists() else devices
        several = ending.exclude(user=ending.values("user")[:1]).exists()
        page = ask_for_password(request) if several and not order.shown.proven else None
        return page or self._revoke(request, order, own)

    def _revoke_of_user(self, request, order: Order, own):
        keys = [key for part in (order.left(), own) for key in part.values_list("pk", flat=True)]
        ending = IssuedToken.objects.filter(pk__in=keys)
        ended = flows.revoke_for_user(order.user, ending, by=request.user, note=order.note)
        if ended:
            log_revoked(request, ending, order.note)
        return _done(request, order, ended, ends_here=get_device(request).pk in keys)

    def _revoke(self, request, order: Order, own):
        """End a piece of the devices, then show how far the revocation is.

        `own` is the device in use, or empty. It ends last, because its end signs out the member
        of staff who revokes.
        """
        shown, limit = order.shown, incident.PIECE_SIZE
        piece = sum(_end_and_log(request, order, limit=limit))
        done = shown.done + piece
        if piece >= limit:
            return self._progress_page(request, replace(shown, done=done))
        ends_here = own.exists()
        whole = replace(shown, found=replace(shown.found, newest=None))
        done += sum(_end_and_log(request, replace(order, devices=own, shown=whole)))
        return _done(request, order, done, ends_here=ends_here)

    def _progress_page(self, request, shown: Shown):
        names = ("confirmed", "reason", "note", "include_current")
        typed = [(name, request.POST[name]) for name in names if name in request.POST]
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoking devices",
            "opts": IssuedToken._meta,
            "progress": {"done": shown.done, "total": shown.found.devices},
            "held": [*held(request), *typed, (SHOWN_FIELD, shown.sign(request))],
        }
        return TemplateResponse(request, "admin/tokens/progress.html", context)


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


def _end_and_log(request, order: Order, limit: int | None = None) -> Iterator[int]:
    """End the devices, and add a line to the history of each. Yield how many each batch ended."""
    for batch, ended in incident.end(
        order.devices,
        order.shown.found,
        by=request.user,
        note=order.note,
        reason=order.reason,
        limit=limit,
    ):
        log_revoked(request, batch, order.note)
        yield ended


def _done(request, order: Order, ended: int, *, ends_here: bool):
    tell(request, order, ended)
    return redirect("admin:login" if ends_here else order.back)


def _typed(request) -> dict[str, str]:
    """What was typed on this page before: on one that is too old, or before a new sign-in."""
    if request.POST.get("confirmed"):
        messages.warning(request, "This page was too old. Look again at what would end.")
        return {name: request.POST.get(name, "") for name in ("reason", "note")}
    typed = pop_note(request)
    if typed:
        messages.info(request, "You were signed out before anything ended. Your note is kept.")
    return typed
