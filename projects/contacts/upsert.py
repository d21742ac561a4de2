"""Rows against the contacts that exist: planned in memory for a slice, written set-wise."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import BooleanField, DateTimeField, F, Func, JSONField
from django.utils import timezone

from projects.contacts.cells import as_text
from projects.contacts.rows import Problem, Row, search_text
from projects.models import Contact, Project, Tag

CHANGED_FIELDS = [
    "external_id", "name", "email", "phone", "attributes", "search_text", "updated_at",
    "last_import",
]  # fmt: skip


def _literally(column: str, test: str) -> Func:
    return Func(column, template=test, output_field=BooleanField())


# The conditions of the partial indexes in their own words, '' not being a parameter: without
# them neither database sees that it may use these indexes.
HAS_EXTERNAL_ID = _literally("external_id", "NOT (%(expressions)s = '')")
HAS_ONLY_PHONE = (
    _literally("external_id", "%(expressions)s = ''"),
    _literally("email", "%(expressions)s = ''"),
    _literally("phone", "NOT (%(expressions)s = '')"),
)

INSERT_ROWS = 500  # SQLite takes at most 32,766 values in a statement


@dataclass(slots=True)
class Plan:
    """What a slice of rows would do. Contacts in `created` and `changed` are not saved yet."""

    created: list[Contact] = field(default_factory=list)
    changed: dict[int, Contact] = field(default_factory=dict)
    matched: dict[int, Contact] = field(default_factory=dict)
    new_tags: list[tuple[Contact, str]] = field(default_factory=list)
    # Contacts that existed and get a tag.
    tagged_ids: set[int] = field(default_factory=set)
    bad: list[Problem] = field(default_factory=list)

    @property
    def updated_count(self) -> int:
        return len(self.tagged_ids | set(self.changed))

    @property
    def unchanged_count(self) -> int:
        return len(self.matched) - self.updated_count


class Matcher:
    """The contacts a slice of rows may mean: by external id, else e-mail, else phone.

    A row with an external id nobody has takes over a contact that has its e-mail and no
    external id. Three queries a slice at most, whatever its size.
    """

    def __init__(self, project: Project, rows: list[Row]) -> None:
        self.found: dict[int, Contact] = {}
        self.contacts = Contact.objects.filter(project=project)
        self.by_external_id = self._look_up(
            "external_id", {r.external_id for r in rows}, HAS_EXTERNAL_ID
        )
        # A row found by its external id needs no second look.
        left = [row for row in rows if row.external_id not in self.by_external_id]
        self.by_email = self._look_up("email", {row.email for row in left})
        only_phone = {row.phone for row in left if not row.external_id and not row.email}
        self.by_phone = self._look_up("phone", only_phone, *HAS_ONLY_PHONE)

    def _look_up(self, name: str, values: set[str], *narrow: Func) -> dict[str, list[Contact]]:
        index: dict[str, list[Contact]] = {}
        if wanted := values - {""}:
            for contact in self.contacts.filter(*narrow, **{f"{name}__in": wanted}):
                # One object a contact, however it was found.
                same = self.found.setdefault(contact.pk, contact)
                index.setdefault(getattr(contact, name), []).append(same)
        return index

    def match(self, row: Row) -> Contact | None:
        """The contact the row means, None for a new one; ValueError when it is not clear."""
        if row.external_id:
            named = self.by_external_id.get(row.external_id)
            return named[0] if named else self._without_external_id(row.email)
        if not row.email:
            return next(iter(self.by_phone.get(row.phone, [])), None)
        plain = self._without_external_id(row.email)
        named = [c for c in self.by_email.get(row.email, []) if c.email == row.email]
        if plain is None and len(named) > 1:
            raise ValueError(_unclear(len(named)))
        return plain or (named[0] if named else None)

    def _without_external_id(self, email: str) -> Contact | None:
        if not email:
            return None
        same = self.by_email.get(email, [])
        return next((c for c in same if not c.external_id and c.email == email), None)


def find_unclear(project: Project, rows: list[Row]) -> list[Problem]:
    """Rows whose e-mail several contacts have, each under an external id of its own."""
    plain = [row for row in rows if not row.external_id and row.email]
    if not plain:
        return []
    holders: dict[str, list[str]] = defaultdict(list)
    for email, external_id in Contact.objects.filter(
        project=project, email__in={row.email for row in plain}
    ).values_list("email", "external_id"):
        holders[email].append(external_id)
    return [
        Problem(row.line, "E-mail", _unclear(len(held)), row.email)
        for row in plain
        if len(held := holders.get(row.email, [])) > 1 and "" not in held
    ]


def _unclear(count: int) -> str:
    return f"{count} contacts have this e-mail address. Give the external id."


def make_plan(
    project: Project, rows: list[Row], *, import_id: int | None = None, tag_name: str = ""
) -> Plan:
    """What these rows do to the project's contacts, without writing anything."""
    plan = Plan()
    matcher = Matcher(project, rows)
    wanted: list[tuple[Contact, list[str]]] = []
    now = timezone.now()
    for row in rows:
        try:
            contact = matcher.match(row)
        except ValueError as error:
            plan.bad.append(Problem(row.line, "E-mail", str(error), row.email))
            continue
        if contact is None:
            contact = Contact(project_id=project.pk, created_at=now, last_import_id=import_id)
            plan.created.append(contact)
        elif contact.pk is not None:
            plan.matched[contact.pk] = contact
        if apply(row, contact) and contact.pk is not None:
            contact.updated_at, contact.last_import_id = now, import_id
            plan.changed[contact.pk] = contact
        names = [*row.tags, tag_name] if tag_name else row.tags
        if names:
            wanted.append((contact, names))
    if wanted:
        plan.new_tags = _missing_tags(project, wanted)
        plan.tagged_ids = {c.pk for c, _name in plan.new_tags if c.pk is not None}
    return plan


def apply(row: Row, contact: Contact) -> bool:
    """Give the contact what the row says; whether anything changed. Empty cells change nothing."""
    changed = False
    for name in ("external_id", "name", "email", "phone"):
        value = getattr(row, name)
        if value and value != getattr(contact, name):
            setattr(contact, name, value)
            changed = True
    for key, value in row.attributes.items():
        # As the export shows it: 5 is not replaced by "5".
        if as_text(contact.attributes.get(key)).strip() != value:
            contact.attributes = {**contact.attributes, key: value}
            changed = True
    if changed:
        contact.search_text = search_text(
            name=contact.name, email=contact.email, phone=contact.phone,
            external_id=contact.external_id,
        )  # fmt: skip
    return changed


def _missing_tags(
    project: Project, wanted: Iterable[tuple[Contact, list[str]]]
) -> list[tuple[Contact, str]]:
    through = Contact.tags.through
    ids = [contact.pk for contact, _names in wanted if contact.pk is not None]
    held: set[tuple[int, str]] = set(
        through.objects.filter(contact_id__in=ids).values_list("contact_id", "tag__name")  # type: ignore[attr-defined]
    )
    missing: dict[tuple[int, str], tuple[Contact, str]] = {}
    for contact, names in wanted:
        for name in names:
            if (contact.pk, name) not in held:
                missing[id(contact), name] = (contact, name)
    return list(missing.values())


def write(project: Project, plan: Plan, *, import_id: int | None) -> None:
    """Write the plan; inside the caller's transaction, together with what it made the plan from.

    IntegrityError when somebody else has just made one of these contacts: plan again.
    """
    if plan.created:
        if plan.new_tags:
            Contact.objects.bulk_create(plan.created, batch_size=2000)
        else:
            _insert_all(plan.created)
        Project.objects.filter(pk=project.pk).update(
            contact_count=F("contact_count") + len(plan.created)
        )
    if plan.changed:
        _update_all(plan.changed.values())
    if plan.new_tags:
        _write_tags(project, plan.new_tags)
        only_tagged = plan.tagged_ids - set(plan.changed)
        Contact.objects.filter(pk__in=only_tagged).update(updated_at=timezone.now())
    if import_id is not None:
        # Not a change of the contact: updated_at stays.
        others = set(plan.matched) - set(plan.changed)
        if others:
            Contact.objects.filter(pk__in=others).update(last_import_id=import_id)


def _insert_all(contacts: list[Contact]) -> None:
    """As bulk_create, without the keys of the new rows, in half the time (docs/contacts.md)."""
    now = timezone.now()
    for contact in contacts:
        contact.updated_at = now
    names = ["project", "created_at", *CHANGED_FIELDS]
    columns = ", ".join(field.column for field in _fields(names))
    group = "(" + ", ".join(["%s"] * len(names)) + ")"
    rows = list(_values(contacts, names))
    with connection.cursor() as cursor:
        for start in range(0, len(rows), INSERT_ROWS):
            part = rows[start : start + INSERT_ROWS]
            cursor.execute(
                f"INSERT INTO {Contact._meta.db_table} ({columns}) "  # noqa: S608  no user's text
                f"VALUES {', '.join([group] * len(part))}",
                [value for row in part for value in row],
            )


def _update_all(contacts: Iterable[Contact]) -> None:
    """One prepared UPDATE a row: 16,000 rows took 22 s with bulk_update, 0.3 s like this."""
    assignments = ", ".join(f"{field.column} = %s" for field in _fields(CHANGED_FIELDS))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {Contact._meta.db_table} SET {assignments} WHERE id = %s",  # noqa: S608
            list(_values(contacts, [*CHANGED_FIELDS, "id"])),
        )


def _fields(names: list[str]) -> list[Any]:
    """Columns of the contacts' own table; typed loosely, as `get_field` may find relations too."""
    return [Contact._meta.get_field(name) for name in names]


def _values(contacts: Iterable[Contact], names: list[str]) -> Iterator[list[Any]]:
    """The contacts' fields as the database takes them."""
    fields = _fields(names)
    # Only these kinds are stored in another form than they have in Python.
    special = {
        number: field
        for number, field in enumerate(fields)
        if isinstance(field, (JSONField, DateTimeField))
    }
    attributes = [field.attname for field in fields]
    for contact in contacts:
        row = [getattr(contact, name) for name in attributes]
        for number, stored in special.items():
            row[number] = stored.get_db_prep_save(row[number], connection)
        yield row


def _write_tags(project: Project, pairs: list[tuple[Contact, str]]) -> None:
    through = Contact.tags.through
    ids = tag_ids(project, {name for _contact, name in pairs})
    through.objects.bulk_create(  # type: ignore[attr-defined]
        [through(contact_id=contact.pk, tag_id=ids[name]) for contact, name in pairs],
        batch_size=2000,
        ignore_conflicts=True,
    )


def tag_ids(project: Project, names: set[str]) -> dict[str, int]:
    """The project's tags of these names, made where they are missing."""
    Tag.objects.bulk_create(
        [Tag(project=project, name=name) for name in sorted(names)], ignore_conflicts=True
    )
    return dict(Tag.objects.filter(project=project, name__in=names).values_list("name", "id"))
