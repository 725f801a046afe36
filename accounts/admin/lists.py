"""Lists of the admin that are as quick at ten million rows as at ten."""

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.utils.functional import cached_property

MAX_COUNTED = 1000  # rows; of a longer list the admin only says that there are more


class CappedPaginator(Paginator):
    """Counts and shows the first 1,000 rows only.

    Counting ten million rows takes seconds, and staff do not read page 20. The rows are counted in
    the order of the list, so the database uses the same index for the count and for the page.
    """

    @cached_property
    def counted(self) -> int:
        return self.object_list.values("pk")[: MAX_COUNTED + 1].count()

    @property
    def count(self):
        return min(self.counted, MAX_COUNTED)

    @property
    def has_more(self) -> bool:
        """Whether there are more rows than `count`."""
        return self.counted > MAX_COUNTED


class LargeChangeList(ChangeList):
    """Sorts only by the fields in `sortable_by`, even if the URL asks for another."""

    def get_ordering_field(self, field_name):
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None


class LargeListAdmin(admin.ModelAdmin):
    """A list of a large table, which is never counted or sorted as a whole.

    `sortable_by` may name only fields that an index sorts.
    """

    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by: list[str] = []

    def get_changelist(self, request, **kwargs):
        return LargeChangeList


class ReadOnlyAdmin(LargeListAdmin):
    """Rows to look at, the newest first. The admin cannot add, change or delete them."""

    list_display_links = None
    ordering = ["-pk"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False
