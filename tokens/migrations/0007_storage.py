from django.db import migrations

# A page keeps a tenth free. So a device that is seen or refreshed finds room for its new version in
# its own page, and no index is written (PostgreSQL calls this a HOT update). Autovacuum begins at
# 2 % of dead rows and not at 20 %: after each daily purge, which leaves about as many.
PARAMETERS = {"fillfactor": "90", "autovacuum_vacuum_scale_factor": "0.02"}


def set_parameters(apps, schema_editor):
    """It takes SHARE UPDATE EXCLUSIVE, which lets reads and writes pass, and rewrites nothing."""
    values = ", ".join(f"{name} = {value}" for name, value in PARAMETERS.items())
    _alter(schema_editor, f"SET ({values})")


def reset_parameters(apps, schema_editor):
    _alter(schema_editor, f"RESET ({', '.join(PARAMETERS)})")


def _alter(schema_editor, change):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE tokens_issuedtoken {change}")


class Migration(migrations.Migration):

    dependencies = [
        ('tokens', '0006_forgotten'),
    ]

    operations = [
        migrations.RunPython(set_parameters, reset_parameters),
    ]
