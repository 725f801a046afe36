"""Migrations of a running site: none locks a table for long, or takes away what older code uses.

CONTRIBUTING.md, "Migrations", has the rules in words.
"""

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models.utils import make_model_tuple

# The newest migrations of the last release. Rows exist in the tables of these alone.
RELEASE = [("accounts", "0006_queued_mails"), ("tokens", "0006_forgotten")]
# Migrations that break a rule all the same, and why no request waits for them.
LOOKED_AT: dict[tuple[str, str], str] = {
    (
        "accounts",
        "0007_passkey",
    ): "only people who have passkeys wait for the new code to be deleted",
    (
        "accounts",
        "0008_staff_passkeys",
    ): "only staff who have codes wait for the new code to be deleted; it adds one row",
    ("tokens", "0007_storage"): "reads and writes pass its lock, and no row is written",
}

QUICK = (
    migrations.AlterModelManagers,
    migrations.AlterModelOptions,
    migrations.CreateModel,
    migrations.RenameIndex,
)
INDEX = (migrations.AddIndex, migrations.RemoveIndex)


@pytest.fixture(scope="module")
def loader():
    return MigrationLoader(None)


def newer_than_the_release(loader):
    released = {node for leaf in RELEASE for node in loader.graph.forwards_plan(leaf)}
    ours = [node for node in loader.graph.nodes if node[0] in dict(RELEASE)]
    return sorted(node for node in ours if node not in released)


def faults(migration, state):
    """What is wrong with a migration that begins with this state of the models."""
    if not migration.atomic and len(migration.operations) > 1:
        yield "it has several operations without a transaction, so half of it cannot be undone"
    new = {op.name_lower for op in migration.operations if isinstance(op, migrations.CreateModel)}
    for operation in migration.operations:
        if isinstance(operation, migrations.CreateModel) and refers_to_older(operation, state):
            yield f"{operation.name}: older code cannot delete the rows that it refers to"
        if getattr(operation, "model_name_lower", None) not in new:
            fault = fault_of(operation, migration, state)
            if fault:
                yield f"{operation.describe()}: {fault}"
        operation.state_forwards(migration.app_label, state)


def refers_to_older(operation, state):
    relations = [field.remote_field for _, field in operation.fields if field.remote_field]
    return any(
        relation.field.db_constraint and make_model_tuple(relation.model) in state.models
        for relation in relations
    )


def fault_of(operation, migration, state):
    if isinstance(operation, QUICK):
        return None
    if isinstance(operation, INDEX):
        return "needs atomic = False, or all writes wait" if migration.atomic else None
    if isinstance(operation, migrations.AddField):
        return fault_of_column(operation.field)
    if isinstance(operation, migrations.AlterField):
        model = state.models[migration.app_label, operation.model_name_lower]
        return fault_of_change(operation, model.fields[operation.name])
    return "is not known to be quick, or to leave older code at work"


def fault_of_column(field):
    if not field.null and not field.has_db_default():
        return "older code inserts rows without it: make it null, or give it a db_default"
    if field.db_index or field.unique or (field.remote_field and field.db_constraint):
        return "its index or constraint is made while all writes wait"
    return None


def fault_of_change(operation, former):
    def of_the_database(field):
        _, path, args, kwargs = field.deconstruct()
        return path, args, {k: v for k, v in kwargs.items() if k not in field.non_db_attrs}

    same = of_the_database(former) == of_the_database(operation.field)
    return None if same else "it changes the column"


def test_new_migrations_stop_no_request_and_no_older_code(loader):
    found = {
        node: list(faults(loader.graph.nodes[node], loader.project_state(node, at_end=False)))
        for node in newer_than_the_release(loader)
    }
    assert {node: why for node, why in found.items() if why and node not in LOOKED_AT} == {}
    assert set(LOOKED_AT) <= {node for node, why in found.items() if why}


TEXT = models.CharField(max_length=64)
OPERATIONS = [
    (migrations.AddField("issuedtoken", "colour", TEXT), "older code inserts"),
    (migrations.AddField("issuedtoken", "size", models.IntegerField(default=1)), "older code"),
    (migrations.AddField("issuedtoken", "size", models.IntegerField(null=True)), None),
    (migrations.AddField("issuedtoken", "size", models.IntegerField(db_default=1)), None),
    (
        migrations.AddField("issuedtoken", "size", models.IntegerField(null=True, db_index=True)),
        "index or constraint",
    ),
    (
        migrations.AddField(
            "issuedtoken", "by", models.ForeignKey("accounts.User", models.CASCADE, null=True)
        ),
        "index or constraint",
    ),
    (migrations.AddIndex("issuedtoken", models.Index(fields=["os"], name="os")), "atomic = False"),
    (migrations.RemoveIndex("issuedtoken", "device_os"), "atomic = False"),
    (migrations.AlterField("issuedtoken", "name", models.CharField(max_length=65)), "changes the"),
    (
        migrations.AlterField(
            "issuedtoken", "name", models.CharField(blank=True, max_length=64, help_text="Own")
        ),
        None,
    ),
    (migrations.RemoveField("issuedtoken", "name"), "not known"),
    (migrations.RenameField("issuedtoken", "name", "title"), "not known"),
    (migrations.RunSQL("UPDATE tokens_issuedtoken SET name = ''"), "not known"),
    (migrations.RunPython(migrations.RunPython.noop), "not known"),
]


@pytest.mark.parametrize(("operation", "fault"), OPERATIONS)
def test_operation_that_locks_or_breaks_older_code_is_found(loader, operation, fault):
    migration = migrations.Migration("0999_next", "tokens")
    migration.operations = [operation]
    found = list(faults(migration, loader.project_state()))
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_constraint_on_older_rows_is_found(loader):
    migration = migrations.Migration("0999_next", "tokens")
    for constraint, count in ((True, 1), (False, 0)):
        user = models.ForeignKey("accounts.User", models.CASCADE, db_constraint=constraint)
        migration.operations = [migrations.CreateModel("New", [("user", user)])]
        assert len(list(faults(migration, loader.project_state()))) == count


def test_index_is_built_by_a_migration_of_its_own(loader):
    migration = migrations.Migration("0999_next", "tokens")
    migration.atomic = False
    indexes = [models.Index(fields=["os"], name=name) for name in ("one", "two")]
    migration.operations = [migrations.AddIndex("issuedtoken", index) for index in indexes]
    assert "several operations" in next(faults(migration, loader.project_state()))
    del migration.operations[1]
    assert list(faults(migration, loader.project_state())) == []


def test_tables_that_the_same_migration_makes_are_empty(loader):
    migration = migrations.Migration("0999_next", "tokens")
    index = models.Index(fields=["id"], name="new_id")
    make = migrations.CreateModel("New", [("id", models.AutoField(primary_key=True))])
    migration.operations = [make, migrations.AddIndex("new", index)]
    assert list(faults(migration, loader.project_state())) == []
