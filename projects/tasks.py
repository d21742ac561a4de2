"""What projects do in the background. A message is a hint; the database says what there is to do."""

from celery import shared_task


@shared_task(name="projects.import_contacts")
def import_contacts(import_id: int) -> None:
    from projects.contacts import importing

    importing.work(import_id)


@shared_task(name="projects.sweep_imports")
def sweep_imports() -> None:
    from projects.contacts import importing

    importing.sweep()
