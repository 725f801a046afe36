from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.html import format_html

from accounts.admin.lists import ReadOnlyAdmin


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """What staff did in the admin.

    Deleting an account would delete its entries. Entries cannot be deleted here, so the admin
    refuses to delete an account that has some. Staff deactivate it instead.
    """

    list_display = ["action_time", "user", "content_type", "shown_object", "shown_message"]
    list_select_related = ["user", "content_type"]
    search_fields = ["user__username__exact"]
    search_help_text = "Username of the member of staff"

    @admin.display(description="object")
    def shown_object(self, entry):
        url = None if entry.is_deletion() else entry.get_admin_url()
        if url is None:
            return entry.object_repr
        return format_html('<a href="{}">{}</a>', url, entry.object_repr)

    @admin.display(description="what")
    def shown_message(self, entry):
        return entry.get_change_message()
