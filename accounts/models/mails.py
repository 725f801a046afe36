from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from accounts.models.primary import ReadsPrimary
from accounts.models.users import User

# How long one attempt may take. Then another worker may try: the first one is taken for dead.
LEASE = timedelta(minutes=5)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=15)  # between attempts
MAX_ATTEMPTS = 100  # with these pauses, about a day
KEPT_FOR = timedelta(days=7)


class QueuedMailQuerySet(ReadsPrimary, models.QuerySet["QueuedMail"]):
    def waiting(self) -> "QueuedMailQuerySet":
        return self.filter(given_up_at=None)

    def given_up(self) -> "QueuedMailQuerySet":
        return self.filter(given_up_at__isnull=False)

    def due(self) -> "QueuedMailQuerySet":
        """Mails to send now, the longest due first."""
        return self.waiting().filter(not_before__lte=Now()).order_by("not_before", "pk")

    def claim(self) -> bool:
        """Claim this one mail for LEASE, and count the attempt. False if another worker has it."""
        claimed = (
            self.due()
            .order_by()
            .update(not_before=Now() + LEASE, attempts=models.F("attempts") + 1)
        )
        return bool(claimed)

    claim.alters_data = True  # type: ignore[attr-defined]

    def retry(self) -> int:
        """Let mails that were given up be tried again. Return how many."""
        return self.given_up().update(given_up_at=None, not_before=Now(), attempts=0)

    retry.alters_data = True  # type: ignore[attr-defined]

    def hold(self, why: str) -> int:
        """Give up all mails that wait, until staff let them be tried again. Return how many."""
        return self.waiting().update(given_up_at=Now(), error=why)

    hold.alters_data = True  # type: ignore[attr-defined]

    def stale(self) -> "QueuedMailQuerySet":
        """Mails that nobody needs any more, whether they were given up or never tried."""
        return self.filter(happened_at__lt=Now() - KEPT_FOR)

    def figures(self) -> dict[str, float]:
        """How many mails are `waiting` and `given_up`, and seconds of those that wait.

        `oldest`: for how long one has been due. `age`: how long ago the event of one was.
        """
        waiting = models.Q(given_up_at=None)
        found = self.aggregate(
            waiting=models.Count("pk", filter=waiting),
            given_up=models.Count("pk", filter=~waiting),
            oldest=models.Max(Now() - models.F("not_before"), filter=waiting),
            age=models.Max(Now() - models.F("happened_at"), filter=waiting),
        )
        for name in ("oldest", "age"):
            found[name] = max((found[name] or timedelta(0)).total_seconds(), 0.0)
        return found


class QueuedMail(models.Model):
    """A mail that is not sent yet: its kind, the person, and facts. It is deleted once it is sent.

    No row holds a link, a token or an email address in clear. `accounts.delivery` makes links when
    it sends. It looks the address up too, unless the mail goes to another one than the person's
    own: that one is encrypted.

    `not_before` is when the next attempt may begin. A worker that claims the mail moves it to the
    end of its lease, so that another worker goes on if this one dies.
    """

    kind = models.CharField(max_length=40)
    # None: somebody asked with an address that no account has. It is queued alike, and not sent.
    # The mail about a deleted account outlives its row, so the database does not check the key.
    person = models.ForeignKey(
        User, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    username = models.CharField(max_length=150, blank=True)  # at that time
    facts = models.JSONField(default=dict)
    sealed_address = models.TextField(blank=True)
    # The HMAC of the password's time and of the address, at that time.
    state = models.BinaryField(max_length=32, default=b"")
    happened_at = models.DateTimeField("waiting since", db_default=Now())
    not_before = models.DateTimeField("next attempt", db_default=Now())
    attempts = models.PositiveIntegerField(default=0)
    # Which one of its kind to this person within the hour; None if it is not counted yet.
    number = models.PositiveIntegerField(null=True)
    error = models.CharField("last error", max_length=200, blank=True)
    given_up_at = models.DateTimeField("given up", null=True)

    objects = QueuedMailQuerySet.as_manager()

    class Meta:
        verbose_name = "queued mail"
        default_permissions = ("view",)
        permissions = [("retry_queuedmail", "Can try queued mail again")]
        indexes = [
            models.Index(
                fields=["not_before"],
                name="queued_mail_due",
                condition=models.Q(given_up_at=None),
            )
        ]

    def __str__(self):
        return f"{self.kind} to {self.username or 'nobody'}"

    @property
    def address_use(self) -> str:
        """What its sealed address may be used for, for `accounts.sealing`."""
        return f"{self.kind} {self.person_id}"

    @property
    def pause(self) -> timedelta:
        """How long to wait after this attempt, which failed: twice as long as before it."""
        doublings = min(self.attempts - 1, 16)  # a timedelta overflows after too many
        return min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE)
