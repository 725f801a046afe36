from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from accounts.admin.lists import LargeListAdmin
from accounts.models import Role
from accounts.proof import ProofAdmin, ProofForm


class RoleForm(ProofForm, forms.ModelForm):
    """The form in which staff edit a role. A permission more asks for the password of staff."""

    def clean_name(self):
        name = self.cleaned_data["name"]
        if not self.request.user.may_name_role(name):
            raise ValidationError("Code asks for this role, so only a superuser may add it.")
        return name

    def clean_permissions(self):
        """Refuse a permission that is new to the role and that the editor does not have."""
        permissions = self.cleaned_data["permissions"]
        held = self.instance.permission_labels() if self.instance.pk else set()
        for permission in permissions.select_related("content_type"):
            label = f"{permission.content_type.app_label}.{permission.codename}"
            if label not in held and not self.request.user.has_perm(label):
                raise ValidationError(f"You do not have this permission yourself: {permission}.")
        return permissions

    def needs_proof(self):
        """Whether people who have the role get permissions."""
        if self.instance.pk is None:
            return False
        held = self.instance.permissions.all()
        return not set(self.cleaned_data["permissions"]) <= set(held)


@admin.register(Role)
class RoleAdmin(ProofAdmin, LargeListAdmin):
    form = RoleForm
    list_display = ["name", "description"]
    search_fields = sortable_by = ["name"]
    filter_horizontal = ["permissions"]

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.request = request
        return form

    def get_fields(self, request, obj=None):
        """Ask for the password of staff only on a form that may need it."""
        fields = super().get_fields(request, obj)
        if obj is not None and self.has_change_permission(request, obj):
            return fields
        return [field for field in fields if field != "current_password"]

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "permissions":
            field.queryset = field.queryset.select_related("content_type")
        return field

    def get_readonly_fields(self, request, obj=None):
        """Look at the stored name, because a refused form has changed the name of `obj`."""
        stored = obj and Role.objects.filter(pk=obj.pk).first()
        return ["name"] if stored and stored.is_built_in else []

    def has_change_permission(self, request, obj=None):
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or request.user.may_manage(obj))

    def has_delete_permission(self, request, obj=None):
        allowed = super().has_delete_permission(request, obj)
        if obj is None or not allowed:
            return allowed
        return not obj.is_built_in and request.user.may_manage(obj)
