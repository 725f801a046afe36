from django.db import migrations, models

# Finds the entries of one user, role or device: for the owner's activity, and the admin's history.
# Django's own indexes find all entries of a model.
INDEX = models.Index(fields=["object_id", "content_type"], name="history_of_an_object")


def add(apps, schema_editor):
    schema_editor.add_index(apps.get_model("admin", "LogEntry"), INDEX)


def remove(apps, schema_editor):
    schema_editor.remove_index(apps.get_model("admin", "LogEntry"), INDEX)


class Migration(migrations.Migration):

    atomic = False  # staff go on writing into the history while the index is built

    dependencies = [
        ('accounts', '0004_names_and_addresses'),
        ('admin', '0003_logentry_add_action_flag_choices'),
    ]

    operations = [migrations.RunPython(add, remove)]
