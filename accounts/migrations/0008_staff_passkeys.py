from datetime import timedelta

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.utils import timezone

DELAY = timedelta(days=30)


def give_time(apps, schema_editor):
    """Where there are staff already, give them time to add a passkey."""
    using = schema_editor.connection.alias
    users = apps.get_model("accounts", "User").objects.using(using)
    is_of_staff = Q(is_staff=True) | Q(is_superuser=True) | Q(roles__isnull=False)
    if users.filter(is_of_staff).exists():
        deadlines = apps.get_model("accounts", "PasskeyDeadline").objects.using(using)
        deadlines.create(at=timezone.now() + DELAY)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_passkey'),
    ]

    operations = [
        migrations.CreateModel(
            name='PasskeyDeadline',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='passkey',
            name='vouched',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hash', models.BinaryField(max_length=32, unique=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recovery_codes', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.RunPython(give_time, migrations.RunPython.noop),
    ]
