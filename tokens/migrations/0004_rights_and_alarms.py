"""What a device's user was allowed at sign-in, and one set of columns for every kind of alarm."""

import uuid

from django.conf import settings
from django.db import migrations, models

BATCH = 10_000


def rename_index(old, new):
    """Rename the index on PostgreSQL, which would wait for no writer; rebuild it on SQLite."""

    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f'ALTER INDEX "{old}" RENAME TO "{new}"')
        else:
            column = new.removeprefix("device_")
            schema_editor.execute(f'DROP INDEX "{old}"')
            schema_editor.execute(
                f'CREATE INDEX "{new}" ON "tokens_issuedtoken" ("{column}" DESC)'
                f' WHERE "{column}" IS NOT NULL'
            )

    return run


def fill(apps, schema_editor):
    """Name the alarms that there are, and note today's flags, batch by batch."""
    devices = apps.get_model("tokens", "IssuedToken").objects.using(schema_editor.connection.alias)
    devices.filter(alarm_at__isnull=False).update(alarm="reuse")
    users = apps.get_model("accounts", "User").objects.using(schema_editor.connection.alias)
    unknown = devices.filter(revoked_at=None, was_staff=None).order_by("pk")
    for user in users.filter(models.Q(is_staff=True) | models.Q(is_superuser=True)).iterator():
        unknown.filter(user=user).update(
            was_staff=user.is_staff, was_superuser=user.is_superuser
        )
    last = uuid.UUID(int=0)
    while keys := list(unknown.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
        devices.filter(pk__in=keys).update(was_staff=False, was_superuser=False)
        last = keys[-1]


class Migration(migrations.Migration):
    atomic = False  # each batch is a transaction of its own

    dependencies = [
        ("tokens", "0003_admin_indexes"),
        ("accounts", "0004_names_and_addresses"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RenameField("issuedtoken", "reuse_at", "alarm_at"),
        migrations.RenameField("issuedtoken", "reuse_ip", "alarm_ip"),
        migrations.RenameField("issuedtoken", "reuse_user_agent", "alarm_client"),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(
                    rename_index("device_reuse_at", "device_alarm_at"),
                    migrations.RunPython.noop,
                )
            ],
            state_operations=[
                migrations.RemoveIndex("issuedtoken", "device_reuse_at"),
                migrations.AddIndex(
                    "issuedtoken",
                    models.Index(
                        condition=models.Q(("alarm_at__isnull", False)),
                        fields=["-alarm_at"],
                        name="device_alarm_at",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            "issuedtoken",
            "alarm",
            models.CharField(
                blank=True,
                choices=[
                    ("reuse", "its refresh token was used twice"),
                    ("client", "its cookie came from another client"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            "issuedtoken",
            "authenticated_ip",
            models.GenericIPAddressField(
                null=True, verbose_name="where the password was last given"
            ),
        ),
        migrations.AddField("issuedtoken", "was_staff", models.BooleanField(null=True)),
        migrations.AddField("issuedtoken", "was_superuser", models.BooleanField(null=True)),
        migrations.AlterField(
            "issuedtoken",
            "revoked_reason",
            models.CharField(
                blank=True,
                choices=[
                    ("logout", "signed out"),
                    ("user", "signed out by its owner"),
                    ("staff", "revoked by staff"),
                    ("reuse", "its refresh token was used twice"),
                    ("password", "the password was changed"),
                    ("deactivated", "the account was deactivated"),
                    ("limit", "too many devices"),
                    ("replaced", "replaced by a new sign-in in the same browser"),
                    ("incident", "revoked in an incident"),
                    ("rights", "the account may do more since"),
                ],
                max_length=11,
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
