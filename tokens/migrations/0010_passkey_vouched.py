from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tokens', '0009_method_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='issuedtoken',
            name='passkey_vouched',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='issuedtoken',
            name='revoked_reason',
            field=models.CharField(blank=True, choices=[('logout', 'signed out'), ('user', 'signed out by its owner'), ('staff', 'revoked by staff'), ('reuse', 'its refresh token was used twice'), ('password', 'the password was changed'), ('deactivated', 'the account was deactivated'), ('limit', 'too many devices'), ('replaced', 'replaced by a new sign-in in the same browser'), ('incident', 'revoked in an incident'), ('rights', 'the account may do more since'), ('recovery', 'a recovery code was used')], max_length=11),
        ),
    ]
