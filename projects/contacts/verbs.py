"""What people do to contacts: save, delete, tag, keep a filter. Atomic; counts are kept."""

from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from accounts.permissions import Actor
from projects.contacts.filtersets import clean_querystring
from projects.contacts.rows import search_text
from projects.contacts.upsert import tag_ids
from projects.models import Contact, Project, SavedFilter

FIELDS = ("external_id", "name", "email", "phone", "attributes")


@transaction.atomic
def save_contact(
    project: Project, contact: Contact | None, *, values: dict[str, Any], tags: list[str]
) -> Contact:
    """Make a contact (None) or change one. IntegrityError when its identity is taken."""
    made = contact is None
    if contact is None:
        contact = Contact(project=project)
    for name in FIELDS:
        setattr(contact, name, values[name])
    contact.search_text = search_text(
        name=contact.name, email=contact.email, phone=contact.phone,
        external_id=contact.external_id,
    )  # fmt: skip
    contact.save()
    contact.tags.set(tag_ids(project, set(tags)).values() if tags else [])
    if made:
        Project.objects.filter(pk=project.pk).update(contact_count=F("contact_count") + 1)
    return contact


@transaction.atomic
def delete_contact(contact: Contact) -> bool:
    """False when somebody else had deleted it. Its records stay, with its name."""
    deleted, _ = Contact.objects.filter(pk=contact.pk).delete()
    if deleted:
        Project.objects.filter(pk=contact.project_id).update(
            contact_count=Greatest(F("contact_count"), 1) - 1
        )
    return bool(deleted)


@transaction.atomic
def tag_contacts(project: Project, contacts: QuerySet[Contact], *, name: str) -> int:
    """Give the contacts a tag; how many did not have it yet. One statement, whatever their number."""
    through = Contact.tags.through._meta.db_table  # type: ignore[attr-defined]
    tag_id = tag_ids(project, {name})[name]
    chosen = contacts.filter(project=project).order_by().values("id")
    sql, params = chosen.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {through} (contact_id, tag_id) "  # noqa: S608  names are Django's own
            f"SELECT chosen.id, %s FROM ({sql}) AS chosen WHERE 1 = 1 ON CONFLICT DO NOTHING",
            [tag_id, *params],
        )
        return max(0, cursor.rowcount)


@transaction.atomic
def untag_contacts(project: Project, contacts: QuerySet[Contact], *, name: str) -> int:
    """Take a tag from the contacts; how many had it. A tag nobody has any more goes too."""
    through = Contact.tags.through
    tag = project.tags.filter(name=name).first()
    if tag is None:
        return 0
    chosen = contacts.filter(project=project).order_by().values("pk")
    taken, _ = through.objects.filter(tag_id=tag.pk, contact_id__in=chosen).delete()  # type: ignore[attr-defined]
    if not through.objects.filter(tag_id=tag.pk).exists():  # type: ignore[attr-defined]
        tag.delete()
    return taken


def save_filter(project: Project, actor: Actor, *, name: str, querystring: str) -> SavedFilter:
    """Keep a filter under a name; one of the same name is replaced."""
    saved, _ = SavedFilter.objects.update_or_create(
        project=project,
        name=name,
        defaults={
            "querystring": clean_querystring(querystring),
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    return saved


def recount(project_id: int) -> None:
    """Set the project's contact count from the rows themselves."""
    count = Contact.objects.filter(project_id=project_id).count()
    Project.objects.filter(pk=project_id).exclude(contact_count=count).update(contact_count=count)
