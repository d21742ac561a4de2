"""A release is rolled out while processes of the one before go on writing."""

from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader

APPS = ("accounts", "projects", "jobs")
# What older code still asks for, or does not know that it must give.
TAKES_AWAY = (
    migrations.RemoveField, migrations.RenameField, migrations.DeleteModel, migrations.RenameModel,
)  # fmt: skip


def later_operations() -> list[tuple[str, object]]:
    """Those of migrations that may meet a database in use."""
    found = MigrationLoader(None).disk_migrations
    return [
        (f"{app}.{name}", operation)
        for (app, name), migration in sorted(found.items())
        if app in APPS and not name.startswith("0001_")
        for operation in migration.operations
    ]


def is_filled(field: models.Field) -> bool:
    """A row that does not name the column is taken all the same."""
    return field.null or field.has_db_default() or field.many_to_many is True


def test_a_migration_leaves_the_release_before_at_work() -> None:
    """F23: no column goes at once, and none comes that older workers would have to fill."""
    wrong = [
        (name, type(operation).__name__)
        for name, operation in later_operations()
        if isinstance(operation, TAKES_AWAY)
        or (isinstance(operation, migrations.AddField) and not is_filled(operation.field))
    ]
    assert not wrong
    assert any(isinstance(operation, migrations.AddField) for _, operation in later_operations())
