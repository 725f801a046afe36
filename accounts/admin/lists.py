"""Lists of the admin that are as quick at ten million rows as at ten."""

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.core.exceptions import EmptyResultSet
from django.core.paginator import Paginator
from django.shortcuts import redirect
from django.utils.functional import cached_property
from django.utils.html import format_html

FILTER_LOOKUPS = ("exact", "isnull", "gte", "lt")  # which Django's filters of a field use
CHECKBOX = (
    '<input type="checkbox" name="{}" value="{}" class="action-select"'
    ' aria-label="Select this object for an action - {}">'
)
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
    """Sorts only by the fields in `sortable_by`, even if the URL asks for another.

    A lookup that is not allowed, and a value that the database cannot compare, raise
    IncorrectLookupParameters: Django then shows the list without them.
    """

    def get_ordering_field(self, field_name):
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    def get_filters(self, request):
        try:
            return super().get_filters(request)
        except DisallowedModelAdminLookup as error:
            raise IncorrectLookupParameters(error) from error

    def get_queryset(self, request, exclude_parameters=None):
        found = super().get_queryset(request, exclude_parameters)
        if not (self.filter_params or self.query):
            return found
        try:
            found.query.get_compiler(found.db).as_sql()  # converts the values, as a run would
        except EmptyResultSet:
            pass
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error
        return found


class LargeListAdmin(admin.ModelAdmin):
    """A list of a large table, which is never counted or sorted as a whole.

    `sortable_by` may name only fields that an index sorts. The URL may filter by what the list
    shows as a filter, and by `extra_lookups`. Django would allow every lookup of a local field,
    regular expressions and hashes included.
    """

    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by: list[str] = []
    extra_lookups: list[str] = []

    def lookup_allowed(self, lookup, value, request):
        allowed = set(self.extra_lookups)
        for shown in self.get_list_filter(request):
            if isinstance(shown, type):
                allowed.add(shown.parameter_name)
            else:
                field = shown if isinstance(shown, str) else shown[0]
                allowed |= {f"{field}__{name}" for name in FILTER_LOOKUPS}
        return lookup in allowed

    def changelist_view(self, request, extra_context=None):
        """Say so when a filter could not be used, and when an action has nothing to run on."""
        if ERROR_FLAG in request.GET:
            messages.warning(request, "That filter cannot be used here, so it is left out.")
        if "index" in request.POST and ACTION_CHECKBOX_NAME not in request.POST:
            messages.warning(request, "Nothing is ticked. Tick what you mean, then press Go.")
            return redirect(request.get_full_path())
        return super().changelist_view(request, extra_context)

    def get_changelist(self, request, **kwargs):
        return LargeChangeList

    def action_checkbox(self, obj):
        """As Django's, which renders a template for each row."""
        return format_html(CHECKBOX, ACTION_CHECKBOX_NAME, obj.pk, obj)


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
