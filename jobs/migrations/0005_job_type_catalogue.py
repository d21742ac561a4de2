from django.db import migrations

from jobs.catalogue import ROWS


def seed(apps, schema_editor):
    JobType = apps.get_model("jobs", "JobType")
    for row in ROWS:
        fields = row._asdict()
        JobType.objects.get_or_create(slug=fields.pop("slug"), defaults=fields)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_jobs_page")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
