from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from accounts.models import User
from tokens import flows
from tokens.client import clean_text
from tokens.middleware import get_device
from tokens.models import IssuedToken, IssuedTokenQuerySet
from tokens.step_up import ask_for_password

SHOWN = 20  # devices on a confirmation page and on a user's page


class RevokePages:
    """The confirmation page before devices are revoked, shared by every button and action."""

    revoke_template = "admin/tokens/revoke.html"

    def has_revoke_permission(self, request):
        return request.user.has_perm("tokens.revoke_issuedtoken")

    def may_revoke(self, request, user: User) -> bool:
        return self.has_revoke_permission(request) and request.user.may_touch(user)

    def confirm_revoke(self, request, devices: IssuedTokenQuerySet, *, back: str, user=None):
        """Show what would end; on the confirmed POST end it and go `back`.

        A superuser's devices are left out unless a superuser asks, and so is the current device
        of whoever asks, unless it is ticked. `user` says that all devices are of that one.
        """
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        devices = devices.live()
        if not request.user.is_superuser:
            devices = devices.filter(user__is_superuser=False)
        current = devices.filter(pk=get_device(request).pk)
        holds_current = current.exists()
        if not (holds_current and request.POST.get("include_current")):
            devices = devices.exclude(pk=get_device(request).pk)
        if request.method == "POST" and request.POST.get("confirmed"):
            several = user is None and devices.exclude(user=devices.values("user")[:1]).exists()
            return (several and ask_for_password(request)) or self._revoke(
                request, devices, back, user
            )
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke devices",
            "opts": IssuedToken._meta,
            "count": devices.count(),
            "devices": devices.select_related("user").order_by("-created_at", "-pk")[:SHOWN],
            "holds_current": holds_current,
            "held": _held(request),
            "note_length": flows.NOTE_LENGTH,
            "back": back,
        }
        return TemplateResponse(request, self.revoke_template, context)

    def _revoke(self, request, devices, back, user):
        note = clean_text(request.POST.get("note", ""), flows.NOTE_LENGTH)
        ends_here = devices.filter(pk=get_device(request).pk).exists()
        if user is not None:
            keys = list(devices.values_list("pk", flat=True))
            batches = [
                (
                    IssuedToken.objects.filter(pk__in=keys),
                    flows.revoke_for_user(user, devices, by=request.user, note=note),
                )
            ]
        else:
            batches = flows.revoke_in_batches(
                devices, reason=IssuedToken.Reason.STAFF, by=request.user, note=note
            )
        ended = 0
        for batch, count in batches:
            ended += count
            _log_revoked(request, batch, note)
        word = "device was" if ended == 1 else "devices were"
        messages.success(request, f"{ended} {word} revoked.")
        return redirect("admin:login" if ends_here else back)


def _held(request) -> list[tuple[str, str]]:
    """The fields that the confirmation sends along: which action, on what."""
    names = ("action", "select_across", "index", "_selected_action")
    return [(name, value) for name in names for value in request.POST.getlist(name)]


def _log_revoked(request, devices, note: str) -> None:
    """One line in the history of each device."""
    message = f"Revoked: {note}" if note else "Revoked."
    LogEntry.objects.log_actions(request.user.pk, devices, CHANGE, change_message=message)
