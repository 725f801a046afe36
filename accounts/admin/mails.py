import logging

from django.contrib import admin, messages
from django.template.defaultfilters import pluralize

from accounts.admin.lists import ReadOnlyAdmin
from accounts.admin.times import moment
from accounts.models import QueuedMail, User
from accounts.templatetags.times import exact

logger = logging.getLogger(__name__)


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request, model_admin):
        return [("waiting", "Waiting"), ("given_up", "Given up")]

    def queryset(self, request, queryset):
        found = {"waiting": queryset.waiting, "given_up": queryset.given_up}.get(self.value())
        return found() if found else queryset


@admin.register(QueuedMail)
class QueuedMailAdmin(ReadOnlyAdmin):
    """Mails that are not sent yet. Staff see to whom and why not, and nothing of what they say."""

    list_display = [
        "shown_kind",
        "shown_state",
        "shown_person",
        moment("happened_at", "waiting since"),
        "attempts",
        "next_attempt",
        "error",
    ]
    list_filter = [StateFilter]
    list_select_related = ["person"]
    search_fields = ["person"]  # shows the search box; `get_search_results` does the search
    search_help_text = "Username or verified email address, in full"
    fields = list_display
    actions = ["retry"]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        return queryset.filter(person__in=User.objects.with_login(search_term.strip())), False

    def has_retry_permission(self, request):
        return request.user.has_perm("accounts.retry_queuedmail")

    @admin.action(description="Try the selected mails again", permissions=["retry"])
    def retry(self, request, queryset):
        mails = QueuedMail.objects.filter(pk__in=queryset.order_by().values("pk"))
        retried = mails.retry()
        if not retried:
            messages.warning(
                request, "None of them was given up. The others are tried by themselves."
            )
            return
        logger.warning("mails retried", extra={"count": retried, "by": request.user.pk})
        messages.success(request, f"{retried} mail{pluralize(retried)} will be tried again.")

    @admin.display(description="mail")
    def shown_kind(self, queued):
        return queued.kind.replace("_", " ").capitalize()

    @admin.display(description="person")
    def shown_person(self, queued):
        return queued.person or queued.username or "nobody"

    @admin.display(description="next attempt")
    def next_attempt(self, queued):
        return "none" if queued.given_up_at else exact(queued.not_before)

    @admin.display(description="state")
    def shown_state(self, queued):
        return "given up" if queued.given_up_at else "waiting"
