from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # people go on signing in while the index is built

    dependencies = [
        ('tokens', '0008_method'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='issuedtoken',
            index=models.Index(fields=['method', 'created_at', 'id'], name='device_method'),
        ),
    ]
