from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import forms as auth_forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts import throttling
from accounts.admin.lists import LargeListAdmin
from accounts.admin.throttles import may_lift
from accounts.admin.times import moment
from accounts.forms import PasswordResetForm, UniqueEmail
from accounts.letters import by_staff
from accounts.models import Role, User
from accounts.proof import ProofAdmin, ProofForm
from accounts.templatetags.times import exact
from accounts.text import clean_text
from accounts.verification import send_verification, tell_of_new_names

MAX_LINKS = 100  # reset links that one request sends
MAX_FOUND = 50  # users that a search finds by username, and as many by email address
PROOF: tuple[str, Any] = (
    "Your password",
    {
        "fields": ["current_password"],
        "description": "Needed to make a superuser, and to give a role with permissions.",
    },
)


class UserForm(ProofForm, UniqueEmail, forms.ModelForm):
    """The form in which staff edit an account.

    It has no password of the account: staff send a reset link. It asks for the password of staff
    to make a superuser, and to give a role with permissions.
    """

    class Meta:
        model = User
        fields = ["username", "email", "is_active", "is_staff", "is_superuser", "roles"]
        field_classes = {"username": auth_forms.UsernameField}
        help_texts = {"username": ""}  # the page is read more often than it is written

    def clean_roles(self):
        roles = self.cleaned_data["roles"]
        for role in set(roles) ^ set(self.instance.roles.all()):
            if not self.request.user.may_give(role):
                raise ValidationError(f"The role {role} {role.refusal()}")
        return roles

    def clean(self):
        cleaned = super().clean()
        needed = ["is_superuser", "is_active", "is_staff"]
        stays = all(cleaned.get(name, getattr(self.instance, name)) for name in needed)
        if self.instance.pk and not stays and self._stored().is_last_superuser():
            raise ValidationError("This is the last superuser, who cannot be removed.")
        return cleaned

    def needs_proof(self):
        if "is_superuser" in self.changed_data and self.cleaned_data["is_superuser"]:
            return True
        if "roles" not in self.changed_data:
            return False
        given = set(self.cleaned_data["roles"]) - set(self.instance.roles.all())
        return any(role.permission_labels() for role in given)

    def save(self, commit=True):
        """Save the account. A new email address is not verified yet."""
        if "email" in self.changed_data:
            self.instance.email_verified_at = None
        return super().save(commit)

    def _stored(self) -> User:
        return User.objects.get(pk=self.instance.pk)


class UserCreationForm(UserForm):
    """A new account. It has no password until its owner sets one with a reset link."""

    current_password = None

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": auth_forms.UsernameField}

    def save(self, commit=True):
        self.instance.set_unusable_password()
        return super().save(commit)


class RoleFilter(admin.SimpleListFilter):
    """Filters by role. Django's own filter adds a DISTINCT, which sorts all users."""

    title = parameter_name = "role"

    def lookups(self, request, model_admin):
        return [(role.name, role.name) for role in Role.objects.all()]

    def queryset(self, request, queryset):
        if self.value() in dict(self.lookup_choices):
            return queryset.filter(roles__name=self.value())
        return queryset


def find_users(request, term: str) -> list[int]:
    """Return the ids of the first users whose username or email address starts with the term.

    If there are more, a message on the page says so.
    """
    found, more = User.objects.first_starting_with(term, MAX_FOUND)
    if not found and request.method == "GET":
        shown = clean_text(term, 64)
        messages.warning(request, f"No username or email address starts with “{shown}”.")
    if more and request.method == "GET":
        more_than = f"More than {MAX_FOUND} users start with that"
        messages.warning(request, f"{more_than}, and only the first are searched.")
    return found


class UserAdmin(ProofAdmin, LargeListAdmin, auth_admin.UserAdmin):
    form = UserForm
    add_form = UserCreationForm
    add_form_template = None
    list_display = [
        "username",
        "email",
        "is_active",
        "is_staff",
        moment("last_login", "last sign-in"),
    ]
    list_filter = ["is_active", "is_staff", "is_superuser", RoleFilter]
    search_fields = ["username", "email"]
    search_help_text = "Start of a username or email address"
    ordering = sortable_by = ["username"]
    filter_horizontal = ["roles"]
    times = [
        moment("last_login", "last sign-in"),
        moment("password_changed_at", "password changed"),
        moment("date_joined", "joined"),
    ]
    readonly_fields = ["email_verified", "login_lock", "passkeys", *times]
    actions = ["send_reset_link"]
    fieldsets = [
        (None, {"fields": ["username", "email", "email_verified", "passkeys", "login_lock"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "roles"]}),
        ("Dates", {"fields": times}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["username", "email"],
                "description": "The account starts without a password. Send a reset link next.",
            },
        )
    ]

    def get_urls(self):
        lift = self.admin_site.admin_view(self.lift_view)
        return [
            path("<path:object_id>/lift/", lift, name="accounts_user_lift"),
            *super().get_urls(),
        ]

    def get_object(self, request, object_id, from_field=None):
        """The user, with `shows_lift`: whether the page offers to lift their locks."""
        user = super().get_object(request, object_id, from_field)
        if user is not None:
            user.shows_lift = may_lift(request) and request.user.may_touch(user)
        return user

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.request = request
        return form

    def get_fieldsets(self, request, obj=None):
        """Ask for the password of staff only on a form that they may send."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.has_change_permission(request, obj):
            return fieldsets
        return [*fieldsets, PROOF]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return queryset.filter(pk__in=find_users(request, search_term.strip())), False

    def get_readonly_fields(self, request, obj=None):
        only_superusers = [] if request.user.is_superuser else ["is_superuser"]
        return [*super().get_readonly_fields(request, obj), *only_superusers]

    def has_change_permission(self, request, obj=None):
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or request.user.may_edit(obj))

    def has_delete_permission(self, request, obj=None):
        allowed = super().has_delete_permission(request, obj)
        if obj is None or not allowed:
            return allowed
        return request.user.may_edit(obj) and not obj.is_last_superuser()

    def get_deleted_objects(self, objs, request):
        *found, protected = super().get_deleted_objects(objs, request)
        return *found, [*protected, *self.protected_superusers(objs)]

    def protected_superusers(self, users) -> list[str]:
        """Why these users cannot be deleted at once: they are the last superusers."""
        going = {user.pk for user in users if user.is_superuser}
        if going and not User.objects.superusers().exclude(pk__in=going).exists():
            return ["The last superuser, who cannot be removed."]
        return []

    def save_model(self, request, obj, form, change):
        former = User.objects.filter(pk=obj.pk).first()
        super().save_model(request, obj, form, change)
        if former and {"username", "email"} & set(form.changed_data):
            tell_of_new_names(former, obj, by_staff(request.user))
        if "email" in form.changed_data:
            send_verification(obj, obj.email)

    def user_change_password(self, request, id, form_url=""):
        """Staff do not choose passwords (ASVS 6.4.6)."""
        raise PermissionDenied

    def lift_view(self, request, object_id):
        """Ask first. A POST confirms, and deletes all counts on the account."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not user.shows_lift:
            raise PermissionDenied
        back = reverse("admin:accounts_user_change", args=[user.pk])
        if request.method == "POST":
            throttling.lift(throttling.of_user(user))
            self.log_change(request, user, "Lifted the locks on signing in.")
            messages.success(request, f"The locks on {user} were lifted.")
            return redirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Lift the locks on signing in",
            "opts": User._meta,
            "user_locked": user,
            "locks": throttling.of_user(user).locked().order_by("-locked_until"),
            "back": back,
        }
        return TemplateResponse(request, "admin/accounts/lift.html", context)

    @admin.display(description="email verified")
    def email_verified(self, user):
        if user.email_verified_at is None:
            return "no: the only mail they get is the link to confirm it"
        return format_html("yes, on {}", exact(user.email_verified_at))

    @admin.display(description="passkeys")
    def passkeys(self, user):
        rows = [
            (
                one,
                exact(one.created_at),
                format_html("last used {}", exact(one.used_at)) if one.used_at else "never used",
            )
            for one in user.passkeys.order_by("created_at", "pk")
        ]
        return format_html_join(SafeString("<br>"), "{}: added {}, {}", rows) or "none"

    @admin.display(description="locks on signing in")
    def login_lock(self, user):
        locks = list(throttling.of_user(user).locked().order_by("-locked_until"))
        if not locks:
            return "none"
        url = reverse("admin:accounts_user_lift", args=[user.pk])
        link = format_html(' · <a href="{}">Lift</a>', url) if user.shows_lift else ""
        count = "one lock" if len(locks) == 1 else f"{len(locks)} locks"
        return format_html("{}, until {}{}", count, exact(locks[0].locked_until), link)

    @admin.action(description="Send a password reset link", permissions=["change"])
    def send_reset_link(self, request, queryset):
        if queryset[: MAX_LINKS + 1].count() > MAX_LINKS:
            limit = f"At most {MAX_LINKS} people are sent a reset link at once"
            messages.error(request, f"{limit}: none was sent.")
            return
        sent = 0
        for user in queryset.filter(is_active=True, email_verified_at__isnull=False):
            form = PasswordResetForm({"email": user.email})
            if self.has_change_permission(request, user) and form.is_valid():
                form.save(request=request, use_https=request.is_secure())
                self.log_change(request, user, "Sent a password reset link.")
                sent += 1
        links = f"{sent} reset link{pluralize(sent)}"
        messages.info(request, f"Sent {links}. Only a verified address is sent one.")
