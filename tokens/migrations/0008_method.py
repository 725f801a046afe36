from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tokens', '0007_storage'),
    ]

    operations = [
        migrations.AddField(
            model_name='issuedtoken',
            name='method',
            field=models.CharField(blank=True, choices=[('password', 'password'), ('passkey', 'passkey'), ('token', 'issued on the server')], db_default='', default='', max_length=8, verbose_name='signed in by'),
        ),
        migrations.AddField(
            model_name='issuedtoken',
            name='passkey_at',
            field=models.DateTimeField(null=True, verbose_name='passkey last used'),
        ),
    ]
