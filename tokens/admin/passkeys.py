"""The page on which a superuser helps staff to their first passkey, or people who lost theirs."""

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from accounts import passkeys
from accounts.admin.users import UserAdmin
from accounts.models import User
from tokens import flows
from tokens.browser import get_device
from tokens.models import NOTE_LENGTH
from tokens.step_up import ask_for_proof


class ResetForm(forms.Form):
    note = forms.CharField(
        max_length=NOTE_LENGTH,
        help_text="Why, and how you know who asked. The person reads it.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class PasskeyPages(UserAdmin):
    def get_urls(self):
        view = self.admin_site.admin_view(self.passkeys_view)
        return [
            path("<path:object_id>/passkeys/", view, name="tokens_user_passkeys"),
            *super().get_urls(),
        ]

    def get_object(self, request, object_id, from_field=None):
        """The user, with `shows_passkeys`: whether the page leads to that of their passkeys."""
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            user.shows_passkeys = may_help(request, user)
        return user

    @admin.display(description="passkeys")
    def passkeys(self, user):
        held = super().passkeys(user)
        if not user.shows_passkeys:
            return held
        url = reverse("admin:tokens_user_passkeys", args=[user.pk])
        return format_html('{} · <a href="{}">Reset, or make a link</a>', held, url)

    def passkeys_view(self, request, object_id):
        """Ask first. Each act needs the superuser's own passkey or password, each time."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not may_help(request, user):
            raise PermissionDenied
        form = ResetForm(request.POST if request.POST.get("act") == "reset" else None)
        if request.POST.get("act") == "reset" and form.is_valid():
            page = ask_for_proof(request, "remove somebody's passkeys")
            return page or self._reset(request, user, form.cleaned_data["note"])
        if request.POST.get("act") == "link":
            page = ask_for_proof(request, "let somebody work as staff")
            return page or self._show_link(request, user)
        return self._page(request, user, form=form)

    def _reset(self, request, user: User, note: str):
        removed, ended = flows.reset_passkeys(
            user, by=request.user, note=note, device=get_device(request)
        )
        told = f"Removed {removed} passkey{pluralize(removed)} of {user}"
        messages.success(request, f"{told}, and ended {ended} device{pluralize(ended)}.")
        if passkeys.is_needed(user):
            return self._show_link(request, user)
        return redirect("admin:accounts_user_change", user.pk)

    def _show_link(self, request, user: User):
        if not passkeys.is_needed(user) or user.passkeys.filter(vouched=True).exists():
            messages.error(request, "A link is for staff who have no passkey that counts yet.")
            return self._page(request, user)
        device = get_device(request)
        link = passkeys.make_link(user, by=request.user, device=device and device.pk)
        return self._page(request, user, link=link)

    def _page(self, request, user: User, **context):
        context |= {
            **self.admin_site.each_context(request),
            "title": f"Passkeys of {user}",
            "opts": User._meta,
            "person": user,
            "held": user.passkeys.order_by("created_at", "pk"),
            "codes": user.recovery_codes.count(),
            "needs_one": passkeys.is_needed(user),
            "has_vouched": user.passkeys.filter(vouched=True).exists(),
            "form": context.get("form") or ResetForm(),
        }
        return TemplateResponse(request, "admin/tokens/passkeys.html", context)


def may_help(request, user: User) -> bool:
    """Superusers help others. Where staff need a passkey, they have used theirs, also before it is
    due: a password alone never leads to a link.
    """
    if not request.user.is_superuser or request.user.pk == user.pk:
        return False
    return not (settings.STAFF_NEEDS_PASSKEY and request.user.lacks_passkey())
