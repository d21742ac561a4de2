"""A trigram index for the search in contacts, where PostgreSQL offers pg_trgm."""

import logging

from django.db import migrations
from django.db.utils import DatabaseError

logger = logging.getLogger("projects.migrations")


def add_index(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    from django.db import transaction

    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            cursor.execute(
                "CREATE INDEX IF NOT EXISTS contact_search_trgm ON projects_contact "
                "USING gin (search_text gin_trgm_ops)"
            )
    except DatabaseError as error:
        # Not installed, or the role may not create it: searching works, only slower.
        logger.warning("Contacts have no trigram index (pg_trgm): %s", error)


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS contact_search_trgm")


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_contact_imports")]

    operations = [migrations.RunPython(add_index, drop_index, elidable=False)]
