from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from accounts.models import Role, User


class RoleForm(forms.ModelForm):
    editor: User

    def clean_permissions(self):
        """Refuse a permission that is new to the role and that the editor does not have."""
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
        """Look at the stored name, because a refused form has changed the name of `obj`."""
        stored = obj and Role.objects.filter(pk=obj.pk).first()
        return ["name"] if stored and stored.is_built_in else []

    def has_delete_permission(self, request, obj=None):
        if obj is not None and obj.is_built_in:
            return False
        return super().has_delete_permission(request, obj)
