"""Names compare alike under any collation, and only a verified address is unique."""

import django.core.validators
from django.db import migrations, models

import accounts.lookups

# On PostgreSQL, without a lock that makes writes wait, and so that it may run again after it was
# interrupted.
FORWARDS = {
    "postgresql": [
        'DROP INDEX CONCURRENTLY IF EXISTS "username_unique"',
        'CREATE UNIQUE INDEX CONCURRENTLY "username_unique" ON "accounts_user"'
        ' ((LOWER("username" COLLATE "C")))',
        'DROP INDEX CONCURRENTLY IF EXISTS "username_unique_without_case"',
        'ALTER INDEX "username_unique" RENAME TO "username_unique_without_case"',
        'DROP INDEX CONCURRENTLY IF EXISTS "verified_email_unique"',
        'CREATE UNIQUE INDEX CONCURRENTLY "verified_email_unique" ON "accounts_user"'
        ' ((LOWER("email" COLLATE "C"))) WHERE "email_verified_at" IS NOT NULL',
        'DROP INDEX CONCURRENTLY IF EXISTS "user_email"',
        'CREATE INDEX CONCURRENTLY "user_email" ON "accounts_user" ((LOWER("email" COLLATE "C")))',
        'DROP INDEX CONCURRENTLY IF EXISTS "email_unique_without_case"',
    ],
    "sqlite": [
        'CREATE UNIQUE INDEX "verified_email_unique" ON "accounts_user" ((LOWER("email")))'
        ' WHERE "email_verified_at" IS NOT NULL',
        'CREATE INDEX "user_email" ON "accounts_user" ((LOWER("email")))',
        'DROP INDEX "email_unique_without_case"',
    ],
}
BACKWARDS = {
    "postgresql": [
        'DROP INDEX CONCURRENTLY IF EXISTS "email_unique_without_case"',
        'CREATE UNIQUE INDEX CONCURRENTLY "email_unique_without_case" ON "accounts_user"'
        ' ((LOWER("email" COLLATE "C")))',
        'DROP INDEX CONCURRENTLY IF EXISTS "user_email"',
        'DROP INDEX CONCURRENTLY IF EXISTS "verified_email_unique"',
    ],
    "sqlite": [
        'CREATE UNIQUE INDEX "email_unique_without_case" ON "accounts_user" ((LOWER("email")))',
        'DROP INDEX "user_email"',
        'DROP INDEX "verified_email_unique"',
    ],
}


def build_indexes(apps, schema_editor):
    for statement in FORWARDS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def rebuild_former_indexes(apps, schema_editor):
    for statement in BACKWARDS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    atomic = False  # an index is built concurrently outside a transaction only

    dependencies = [
        ("accounts", "0003_search_indexes"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AlterField(
            model_name="throttle",
            name="kind",
            field=models.CharField(
                choices=[
                    ("login_pair", "signing in to an account from a network"),
                    ("login_address", "signing in from a network"),
                    ("login_account", "signing in to an account"),
                    ("password", "the password on a signed-in device"),
                    ("signup", "signing up, and new names, from a network"),
                    ("reset", "reset links to an account"),
                    ("reset_address", "reset links from a network"),
                    ("mail", "mails to a person or an address"),
                    ("known", "an account from a network where its password was given"),
                ],
                max_length=13,
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="username",
            field=models.CharField(
                error_messages={"unique": "That username is taken."},
                help_text="At most 150 letters from A to Z, digits and . + - _",
                max_length=150,
                unique=True,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[_.+-]*[A-Za-z0-9][A-Za-z0-9_.+-]*\\Z",
                        "Use only A to Z, digits and . + - _, with at least one letter or digit.",
                    )
                ],
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build_indexes, rebuild_former_indexes)],
            state_operations=[
                migrations.RemoveConstraint("user", "email_unique_without_case"),
                migrations.AddIndex(
                    "user",
                    models.Index(accounts.lookups.BytewiseLower("email"), name="user_email"),
                ),
                migrations.AddConstraint(
                    "user",
                    models.UniqueConstraint(
                        accounts.lookups.BytewiseLower("email"),
                        condition=models.Q(("email_verified_at__isnull", False)),
                        name="verified_email_unique",
                        violation_error_message="That email address is taken.",
                    ),
                ),
            ],
        ),
    ]
