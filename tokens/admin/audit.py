from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.html import format_html

from accounts.changelist import LargeListAdmin


@admin.register(LogEntry)
class LogEntryAdmin(LargeListAdmin):
    """What staff did in the admin: read, never edited, never deleted, newest first.

    So a member of staff whose acts it holds is deactivated and not deleted, since their entries
    would go along.
    """

    list_display = ["action_time", "user", "content_type", "shown_object", "shown_message"]
    list_display_links = None
    list_select_related = ["user", "content_type"]
    list_per_page = 50
    ordering = ["-id"]
    search_fields = ["user__username__exact"]
    search_help_text = "Username of the member of staff"

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="object")
    def shown_object(self, entry):
        url = None if entry.is_deletion() else entry.get_admin_url()
        if url is None:
            return entry.object_repr
        return format_html('<a href="{}">{}</a>', url, entry.object_repr)

    @admin.display(description="what")
    def shown_message(self, entry):
        return entry.get_change_message()
