"""How a device signed in, and when a passkey was last used on it."""

from django.db import migrations, models

INDEX = models.Index(fields=["method", "created_at", "id"], name="device_method")


def build_index(apps, schema_editor):
    """On PostgreSQL concurrently: people go on signing in while the index is built."""
    device = apps.get_model("tokens", "IssuedToken")
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX.name}")  # half of one
        schema_editor.add_index(device, INDEX, concurrently=True)
    else:
        schema_editor.add_index(device, INDEX)


def drop_index(apps, schema_editor):
    schema_editor.execute(f"DROP INDEX IF EXISTS {INDEX.name}")


class Migration(migrations.Migration):
    atomic = False  # a column takes its lock for a moment, and the index takes none that waits

    dependencies = [("tokens", "0007_storage")]

    operations = [
        migrations.AddField(
            "issuedtoken",
            "method",
            models.CharField(
                "signed in by",
                blank=True,
                choices=[
                    ("password", "password"),
                    ("passkey", "passkey"),
                    ("token", "issued on the server"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            "issuedtoken",
            "passkey_at",
            models.DateTimeField("passkey last used", null=True),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build_index, drop_index)],
            state_operations=[migrations.AddIndex("issuedtoken", INDEX)],
        ),
    ]
