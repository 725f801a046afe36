from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.html import format_html

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.times import moment
from accounts.models import User


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """What staff did in the admin, and over the API to users and roles.

    Deleting an account would delete its entries. Entries cannot be deleted here, so the admin
    refuses to delete an account that has some. Staff deactivate it instead.
    """

    list_display = [
        moment("action_time", "when"),
        "user",
        "content_type",
        "shown_object",
        "shown_message",
    ]
    list_select_related = ["user", "content_type"]
    search_fields = ["user"]  # shows the search box; `get_search_results` does the search
    search_help_text = "Username or verified email address of the member of staff, in full"

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return queryset.filter(user__in=User.objects.with_login(search_term.strip())), False

    @admin.display(description="object")
    def shown_object(self, entry):
        url = None if entry.is_deletion() else entry.get_admin_url()
        if url is None:
            return entry.object_repr
        return format_html('<a href="{}">{}</a>', url, entry.object_repr)

    @admin.display(description="what")
    def shown_message(self, entry):
        return entry.get_change_message()
