"""All tables of projects, and a trigram index for the search in contacts, where PostgreSQL
offers pg_trgm. Databases older than this keep theirs."""

import logging

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
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

    replaces = [
        ('projects', '0001_initial'),
        ('projects', '0002_contact_imports'),
        ('projects', '0003_contact_search_index'),
    ]

    initial = True

    dependencies = [
        ('accounts', '0003_retention'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Pipeline',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('spinner', 'Spinner'), ('workflow', 'Workflow')], max_length=10)),
                ('name', models.CharField(max_length=120)),
                ('slug', models.SlugField(max_length=64)),
                ('description', models.TextField(blank=True)),
                ('job_type_slug', models.SlugField(blank=True, max_length=64)),
                ('default_effort', models.CharField(blank=True, max_length=10)),
                ('draft', models.JSONField(blank=True, default=dict)),
                ('draft_revision', models.PositiveIntegerField(default=1)),
                ('draft_updated_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('draft_updated_by_name', models.CharField(blank=True, max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('archived_at', models.DateTimeField(blank=True, null=True)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pipelines', to='accounts.team')),
            ],
            options={
                'ordering': ['name', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='PipelineVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('definition', models.JSONField()),
                ('note', models.CharField(blank=True, max_length=300)),
                ('published_by_name', models.CharField(blank=True, max_length=150)),
                ('published_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('pipeline', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='projects.pipeline')),
                ('published_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-number'],
                'constraints': [models.UniqueConstraint(fields=('pipeline', 'number'), name='version_number_once')],
            },
        ),
        migrations.AddField(
            model_name='pipeline',
            name='current_version',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='projects.pipelineversion'),
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('slug', models.SlugField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
                ('paused_by_name', models.CharField(blank=True, max_length=150)),
                ('pause_reason', models.CharField(blank=True, max_length=300)),
                ('contact_count', models.PositiveBigIntegerField(default=0, editable=False)),
                ('paused_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='projects', to='accounts.team')),
            ],
            options={
                'ordering': ['name', 'pk'],
            },
        ),
        migrations.AddField(
            model_name='pipeline',
            name='project',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='pipelines', to='projects.project'),
        ),
        migrations.CreateModel(
            name='ContactImport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file_name', models.CharField(max_length=255)),
                ('path', models.CharField(blank=True, editable=False, max_length=255)),
                ('byte_count', models.PositiveBigIntegerField(default=0)),
                ('encoding', models.CharField(blank=True, max_length=20)),
                ('delimiter', models.CharField(blank=True, max_length=1)),
                ('header', models.JSONField(blank=True, default=list)),
                ('mapping', models.JSONField(blank=True, default=list)),
                ('skip_bad', models.BooleanField(default=False)),
                ('tag_name', models.CharField(blank=True, max_length=60)),
                ('status', models.CharField(choices=[('uploaded', 'Not started'), ('queued', 'Pending'), ('checking', 'Checking'), ('writing', 'Importing'), ('completed', 'Completed'), ('failed', 'Failed')], default='uploaded', max_length=10)),
                ('error', models.TextField(blank=True)),
                ('row_count', models.PositiveIntegerField(default=0)),
                ('bad_count', models.PositiveIntegerField(default=0)),
                ('duplicate_count', models.PositiveIntegerField(default=0)),
                ('to_write_count', models.PositiveIntegerField(default=0)),
                ('created_count', models.PositiveIntegerField(default=0)),
                ('updated_count', models.PositiveIntegerField(default=0)),
                ('unchanged_count', models.PositiveIntegerField(default=0)),
                ('position_rank', models.SmallIntegerField(default=-1, editable=False)),
                ('position_line', models.PositiveIntegerField(default=0, editable=False)),
                ('fence', models.PositiveIntegerField(default=0, editable=False)),
                ('attempt_count', models.PositiveSmallIntegerField(default=0, editable=False)),
                ('lease_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_by_name', models.CharField(blank=True, max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('completed_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='imports', to='projects.project')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['project', '-id'], name='import_project_recent'), models.Index(condition=models.Q(('status__in', ['queued', 'checking', 'writing'])), fields=['lease_until'], name='import_active')],
            },
        ),
        migrations.CreateModel(
            name='SavedFilter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80)),
                ('querystring', models.CharField(max_length=1000)),
                ('created_by_name', models.CharField(blank=True, max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='saved_filters', to='projects.project')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('project', 'name'), name='saved_filter_name_once')],
            },
        ),
        migrations.CreateModel(
            name='Secret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, validators=[django.core.validators.RegexValidator('^[A-Za-z][A-Za-z0-9_]{0,63}$', "A secret's name begins with a letter and holds letters, digits and _ only.")])),
                ('ciphertext', models.BinaryField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('updated_by_name', models.CharField(blank=True, editable=False, max_length=150)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='accounts.team')),
                ('updated_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('team', 'name'), name='secret_name_once')],
            },
        ),
        migrations.CreateModel(
            name='Tag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tags', to='projects.project')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('project', 'name'), name='tag_once')],
            },
        ),
        migrations.CreateModel(
            name='Contact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('external_id', models.CharField(blank=True, max_length=120)),
                ('name', models.CharField(blank=True, max_length=300)),
                ('email', models.CharField(blank=True, max_length=254)),
                ('phone', models.CharField(blank=True, max_length=60)),
                ('attributes', models.JSONField(blank=True, default=dict)),
                ('search_text', models.TextField(blank=True, editable=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('last_import', models.ForeignKey(blank=True, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='contacts', to='projects.contactimport')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contacts', to='projects.project')),
                ('tags', models.ManyToManyField(blank=True, related_name='contacts', to='projects.tag')),
            ],
            options={
                'indexes': [models.Index(fields=['project', 'id'], name='contact_project_id'), models.Index(fields=['project', 'email'], name='contact_project_email'), models.Index(condition=models.Q(('last_import__isnull', False)), fields=['last_import', 'id'], name='contact_last_import')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('external_id', ''), _negated=True), fields=('project', 'external_id'), name='contact_external_id_once'), models.UniqueConstraint(condition=models.Q(('external_id', ''), models.Q(('email', ''), _negated=True)), fields=('project', 'email'), name='contact_email_once_without_external_id'), models.UniqueConstraint(condition=models.Q(('email', ''), ('external_id', ''), models.Q(('phone', ''), _negated=True)), fields=('project', 'phone'), name='contact_phone_once_without_more')],
            },
        ),
        migrations.CreateModel(
            name='ContactImportProblem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('bad', 'Error'), ('duplicate', 'Duplicate')], default='bad', max_length=10)),
                ('line', models.PositiveIntegerField()),
                ('column', models.CharField(blank=True, max_length=200)),
                ('reason', models.CharField(max_length=300)),
                ('value', models.CharField(blank=True, max_length=200)),
                ('contact_import', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='problems', to='projects.contactimport')),
            ],
            options={
                'ordering': ['contact_import', 'kind', 'line', 'id'],
                'indexes': [models.Index(fields=['contact_import', 'kind', 'line'], name='import_problem_line')],
            },
        ),
        migrations.AddConstraint(
            model_name='pipeline',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'spinner')), fields=('project', 'slug'), name='spinner_slug_once_a_project'),
        ),
        migrations.AddConstraint(
            model_name='pipeline',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'workflow')), fields=('team', 'slug'), name='workflow_slug_once_a_team'),
        ),
        migrations.AddConstraint(
            model_name='pipeline',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'workflow'), ('project', None)), models.Q(('kind', 'spinner'), ('project__isnull', False)), _connector='OR'), name='pipeline_spinner_has_project'),
        ),
        migrations.RunPython(add_index, drop_index),
    ]
