import logging

from django.contrib import admin, messages
from django.db.models import Q
from django.utils.html import format_html

from accounts import throttling
from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.times import moment
from accounts.models import Throttle, ThrottleQuerySet
from accounts.templatetags.times import exact

logger = logging.getLogger(__name__)


class LockedFilter(admin.SimpleListFilter):
    title = parameter_name = "locked"

    def lookups(self, request, model_admin):
        return [("yes", "Now")]

    def queryset(self, request, queryset):
        return queryset.locked() if self.value() else queryset


class ThrottleAdmin(ReadOnlyAdmin):
    """Counts of attempts, and their locks. Staff look at them and lift locks, and change nothing.

    The app that knows the devices of superusers registers a subclass.
    """

    list_display = ["what", "attempts", moment("counted_at", "last attempt"), "lock"]
    list_filter = [LockedFilter, "kind"]
    search_fields = ["kind"]  # shows the search box; `get_search_results` does the search
    search_help_text = (
        "Username, email address, network address or device id, in full: the list knows them only "
        "when it is told"
    )
    fields = [
        "kind",
        "attempts",
        moment("counted_at", "last attempt"),
        moment("locked_until", "locked until"),
        moment("expires_at", "forgotten"),
    ]
    readonly_fields = fields[1:]
    actions = ["lift"]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return queryset & throttling.search(search_term), False

    def get_queryset(self, request):
        markers = Q(kind=Throttle.Kind.KNOWN, count=0)  # of known networks: nothing is locked
        return super().get_queryset(request).timed().exclude(markers)

    def has_lift_permission(self, request):
        return may_lift(request)

    @admin.action(description="Lift the selected locks", permissions=["lift"])
    def lift(self, request, queryset):
        """Lift these locks. Only a superuser lifts those of superusers."""
        throttles = Throttle.objects.filter(pk__in=queryset.order_by().values("pk"))
        if not request.user.is_superuser:
            throttles = throttles.exclude(pk__in=self.of_superusers().values("pk"))
        lifted = throttling.lift(throttles)
        logger.warning("locks lifted", extra={"count": lifted, "by": request.user.pk})
        messages.success(request, f"{lifted} lifted.")

    def of_superusers(self) -> ThrottleQuerySet:
        return throttling.of_superusers()

    @admin.display(description="what")
    def what(self, throttle):
        return throttle.get_kind_display()

    @admin.display(description="attempts")
    def attempts(self, throttle):
        return throttle.count

    @admin.display(description="locked")
    def lock(self, throttle):
        if not throttle.is_locked():
            return "no"
        return format_html("until {}", exact(throttle.locked_until))


def may_lift(request) -> bool:
    return request.user.has_perm("accounts.lift_throttle")
