from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError

from accounts.forms import PasswordResetForm
from accounts.models import Role, User
from accounts.verification import send_verification

admin.site.unregister(Group)
admin.site.site_header = admin.site.site_title = "Guestlist"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # the lists need the width


class RoleForm(forms.ModelForm):
    editor: User

    def clean_permissions(self):
        """Nobody gives a permission that they do not have."""
        permissions = self.cleaned_data["permissions"]
        held = self.instance.permission_labels() if self.instance.pk else set()
        for permission in permissions.select_related("content_type"):
            label = f"{permission.content_type.app_label}.{permission.codename}"
            if label not in held and not self.editor.has_perm(label):
                raise ValidationError(f"You do not have this permission yourself: {permission}.")
        return permissions


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin):
    form = RoleForm
    list_display = ["name", "description"]
    search_fields = ["name"]
    filter_horizontal = ["permissions"]

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.editor = request.user
        return form

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "permissions":
            field.queryset = field.queryset.select_related("content_type")
        return field

    def get_readonly_fields(self, request, obj=None):
        """Ask for the stored name: a form that was refused has changed the one of `obj`."""
        stored = obj and Role.objects.filter(pk=obj.pk).first()
        return ["name"] if stored and stored.is_built_in else []

    def has_delete_permission(self, request, obj=None):
        if obj is not None and obj.is_built_in:
            return False
        return super().has_delete_permission(request, obj)


class UserForm(forms.ModelForm):
    """Staff's edit of an account. There is no password in it: staff send a reset link."""

    editor: User

    class Meta:
        model = User
        fields = ["username", "email", "is_active", "is_staff", "is_superuser", "roles"]
        field_classes = {"username": auth_forms.UsernameField}

    def clean_roles(self):
        roles = self.cleaned_data["roles"]
        held = set(self.instance.roles.all())
        for role in roles:
            if role not in held and not self.editor.may_give(role):
                raise ValidationError(f"The role {role} has permissions that you do not have.")
        return roles

    def clean(self):
        cleaned = super().clean()
        stays = cleaned.get("is_superuser", self.instance.is_superuser) and cleaned.get(
            "is_active", self.instance.is_active
        )
        if self.instance.pk and not stays and self._stored().is_last_superuser():
            raise ValidationError("This is the last superuser, who cannot be removed.")
        return cleaned

    def save(self, commit=True):
        """A new e-mail address is not a verified one."""
        if "email" in self.changed_data:
            self.instance.email_verified_at = None
        return super().save(commit)

    def _stored(self) -> User:
        return User.objects.get(pk=self.instance.pk)


class UserCreationForm(UserForm):
    """A new account, without a password until its owner sets one by the reset link."""

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": auth_forms.UsernameField}

    def save(self, commit=True):
        self.instance.set_unusable_password()
        return super().save(commit)


class UserAdmin(auth_admin.UserAdmin):
    form = UserForm
    add_form = UserCreationForm
    add_form_template = None
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "roles"]
    search_fields = ["username__istartswith", "email__istartswith"]
    ordering = ["username"]
    filter_horizontal = ["roles"]
    readonly_fields = ["email_verified_at", "password_changed_at", "last_login", "date_joined"]
    actions = ["send_reset_link"]
    fieldsets = [
        (None, {"fields": ["username", "email", "email_verified_at"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "roles"]}),
        ("Dates", {"fields": ["last_login", "password_changed_at", "date_joined"]}),
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

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.editor = request.user
        return form

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
        """Protect the last superuser, also when all of them are deleted at once."""
        *found, protected = super().get_deleted_objects(objs, request)
        going = {user.pk for user in objs if user.is_superuser}
        superusers = User.objects.filter(is_superuser=True, is_active=True)
        if going and not superusers.exclude(pk__in=going).exists():
            protected = [*protected, "The last superuser, who cannot be removed."]
        return *found, protected

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            send_verification(obj, obj.email)

    def user_change_password(self, request, id, form_url=""):
        """Staff do not choose passwords (ASVS 6.4.6)."""
        raise PermissionDenied

    @admin.action(description="Send a password reset link", permissions=["change"])
    def send_reset_link(self, request, queryset):
        sent = 0
        for user in queryset.filter(is_active=True, email_verified_at__isnull=False):
            form = PasswordResetForm({"email": user.email})
            if self.has_change_permission(request, user) and form.is_valid():
                form.save(request=request, use_https=request.is_secure())
                self.log_change(request, user, "Sent a password reset link.")
                sent += 1
        messages.info(request, f"Sent {sent} reset links. Only a verified address is sent one.")
