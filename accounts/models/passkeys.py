import uuid
from datetime import datetime

from django.conf import settings
from django.db import models, router
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models.primary import ReadsPrimary

NAME_LENGTH = 64  # characters of the name that a person gives a passkey
CREDENTIAL_LENGTH = 1023  # bytes; WebAuthn, section 4, "Credential ID"


class PasskeyQuerySet(ReadsPrimary, models.QuerySet["Passkey"]):
    def spend(self, counter: int, challenged_at: datetime) -> bool:
        """Note a use of this one passkey. False if its answer was used before, or it is gone.

        An authenticator that counts must be ahead of its last count (WebAuthn, section 6.1.1). Many
        stay at 0 for ever. So the challenge must be newer than the last one that was answered, too.
        """
        ahead = Q(counter__lt=counter) if counter else Q(counter=0)
        newer = Q(challenged_at=None) | Q(challenged_at__lt=challenged_at)
        values = {"counter": counter, "challenged_at": challenged_at, "used_at": Now()}
        return bool(self.filter(ahead, newer).update(**values))

    spend.alters_data = True  # type: ignore[attr-defined]


class Passkey(models.Model):
    """A WebAuthn credential of a person. The private key never leaves their authenticator.

    `credential` and `public_key` (COSE, RFC 9052) are no secrets.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="passkeys"
    )
    credential = models.BinaryField(max_length=CREDENTIAL_LENGTH, unique=True)
    public_key = models.BinaryField()
    counter = models.BigIntegerField(default=0)  # up to 2^32 - 1
    # When the challenge was made that was answered last.
    challenged_at = models.DateTimeField(null=True)
    name = models.CharField(max_length=NAME_LENGTH)
    created_at = models.DateTimeField("added", db_default=Now())
    used_at = models.DateTimeField("last used", null=True)
    # Whether it counts for staff. One that was added with a password alone does not, because a
    # thief may have added it.
    vouched = models.BooleanField(default=False, db_default=False)

    objects = PasskeyQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return self.name


class RecoveryCodeQuerySet(ReadsPrimary, models.QuerySet["RecoveryCode"]):
    def spend(self, digest: bytes) -> bool:
        """Delete the code with this hash. False if it is not among these any more."""
        return bool(self.filter(hash=digest).delete()[0])

    spend.alters_data = True  # type: ignore[attr-defined]


class RecoveryCode(models.Model):
    """A code of a member of staff that is not used yet. The row holds its SHA-256 alone.

    With the password, it lets its owner add a passkey. It is good for nothing else.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes"
    )
    hash = models.BinaryField(max_length=32, unique=True)

    objects = RecoveryCodeQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return "recovery code"


class PasskeyDeadlineManager(models.Manager["PasskeyDeadline"]):
    def coming(self) -> datetime | None:
        """When passkeys will be required of staff. None if they are by now."""
        rows = self.using(router.db_for_write(self.model)).filter(at__gt=Now())
        return rows.order_by("-at").values_list("at", flat=True).first()


class PasskeyDeadline(models.Model):
    """When a site that had staff before there were passkeys begins to require them of staff.

    The migration that makes this table writes the one row, if there are staff.
    """

    at = models.DateTimeField()

    objects = PasskeyDeadlineManager()

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.at:%Y-%m-%d}"
