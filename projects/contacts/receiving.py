"""An upload of contacts: kept, read in the way people choose, started or discarded."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.permissions import Actor
from projects.contacts import csv_reading, mapping
from projects.contacts.csv_reading import Dialect, Table, UnreadableError
from projects.contacts.models import ENDED_IMPORT_STATUSES, ImportStatus
from projects.models import ContactImport, Project

KEEP_UPLOADS = timedelta(days=7)


class ImportRefusedError(Exception):
    """The file or its settings cannot be used; the message says what to do."""


def receive(
    project: Project, actor: Actor, *, file: BinaryIO, file_name: str, **chosen: Any
) -> ContactImport:
    """Keep an upload and what it seems to be. `chosen`: encoding, delimiter, mapping_text,
    skip_bad, tag_name. ImportRefusedError when it cannot be read; then nothing is kept.
    """
    path = f"imports/{uuid.uuid4().hex}.csv"
    full = Path(settings.MEDIA_ROOT) / path
    full.parent.mkdir(parents=True, exist_ok=True)
    try:
        byte_count = _copy_limited(file, full)
        contact_import = ContactImport(
            project=project, file_name=Path(file_name).name[:255] or "contacts.csv", path=path,
            byte_count=byte_count, created_by=actor.user, created_by_name=actor.name,
            skip_bad=bool(chosen.get("skip_bad")), tag_name=chosen.get("tag_name", ""),
        )  # fmt: skip
        _read_header(contact_import, chosen)
    except BaseException:
        full.unlink(missing_ok=True)
        raise
    contact_import.save()
    return contact_import


def change_settings(contact_import: ContactImport, **chosen: Any) -> None:
    """Read the upload in another way. ImportRefusedError, and nothing changed, if it does not go."""
    _read_header(contact_import, chosen)
    contact_import.skip_bad = bool(chosen.get("skip_bad", contact_import.skip_bad))
    contact_import.tag_name = chosen.get("tag_name", contact_import.tag_name)
    names = ("encoding", "delimiter", "header", "mapping", "skip_bad", "tag_name")
    ContactImport.objects.filter(pk=contact_import.pk, status=ImportStatus.UPLOADED).update(
        **{name: getattr(contact_import, name) for name in names}
    )


def start(contact_import: ContactImport) -> bool:
    """Queue the import; False when it had been started already. The second call is harmless."""
    from projects.contacts.importing import hint

    try:
        mapping.check(contact_import.mapping, contact_import.header)
    except mapping.MappingError as error:
        raise ImportRefusedError(str(error)) from None
    with transaction.atomic():
        queued = ContactImport.objects.filter(
            pk=contact_import.pk, status=ImportStatus.UPLOADED
        ).update(status=ImportStatus.QUEUED, lease_until=None)
        if queued:
            transaction.on_commit(lambda: hint(contact_import.pk))
    contact_import.refresh_from_db()
    return bool(queued)


def start_with_good_rows(contact_import: ContactImport) -> bool:
    """Begin again an import that bad rows stopped, without them; False when it cannot."""
    from projects.contacts.importing import hint

    if not has_good_rows_left(contact_import):
        return False
    with transaction.atomic():
        queued = ContactImport.objects.filter(
            pk=contact_import.pk, status=ImportStatus.FAILED
        ).update(
            status=ImportStatus.QUEUED, skip_bad=True, error="", completed_at=None,
            lease_until=None, attempt_count=0,
        )  # fmt: skip
        if queued:
            transaction.on_commit(lambda: hint(contact_import.pk))
    return bool(queued)


def has_good_rows_left(contact_import: ContactImport) -> bool:
    """Whether only bad rows stopped it, and its upload is still here."""
    return (
        contact_import.status == ImportStatus.FAILED
        and not contact_import.skip_bad
        and 0 < contact_import.bad_count < contact_import.row_count
        and bool(contact_import.path)
        and upload_path(contact_import).exists()
    )


def discard(contact_import: ContactImport) -> bool:
    """Forget an upload that was never started; False when it was."""
    deleted, _ = ContactImport.objects.filter(
        pk=contact_import.pk, status=ImportStatus.UPLOADED
    ).delete()
    if deleted:
        remove_files(contact_import)
    return bool(deleted)


def open_table(contact_import: ContactImport) -> tuple[BinaryIO, Table]:
    """The upload, opened as its settings say; close both. UnreadableError."""
    try:
        file = upload_path(contact_import).open("rb")
    except FileNotFoundError:
        raise UnreadableError(
            "The uploaded file is not here any more. Upload it again. (Web and worker must share "
            "the folder SPINDLE_DATA_DIR.)"
        ) from None
    try:
        return file, Table(file, Dialect(contact_import.encoding, contact_import.delimiter))
    except BaseException:
        file.close()
        raise


def upload_path(contact_import: ContactImport) -> Path:
    return Path(settings.MEDIA_ROOT) / contact_import.path


def _copy_limited(file: BinaryIO, target: Path) -> int:
    limit = settings.SPINDLE_MAX_UPLOAD_MB * 1024 * 1024
    count = 0
    with target.open("xb") as copy:
        while chunk := file.read(csv_reading.CHUNK):
            count += len(chunk)
            if count > limit:
                raise ImportRefusedError(too_large())
            copy.write(chunk)
    return count


def too_large() -> str:
    return (
        f"The file is larger than {settings.SPINDLE_MAX_UPLOAD_MB} MB. Split it, or raise "
        "SPINDLE_MAX_UPLOAD_MB."
    )


def _read_header(contact_import: ContactImport, chosen: dict[str, Any]) -> None:
    """Set encoding, delimiter, header and mapping as chosen, the rest as guessed."""
    try:
        with upload_path(contact_import).open("rb") as file:
            encoding = chosen.get("encoding") or csv_reading.detect_encoding(file)
            delimiter = chosen.get("delimiter") or csv_reading.detect_delimiter(file, encoding)
            table = Table(file, Dialect(encoding, delimiter))
            header = table.header
            table.close()
        if len(header) == 1 and not chosen.get("delimiter") and len(header[0]) > 300:
            raise UnreadableError("The first line does not look like column names of a CSV file.")
        targets = chosen.get("mapping")
        if targets is None or header != contact_import.header:
            # Another way of reading makes other columns: what was chosen for the old is void.
            targets = mapping.guess(header)
        if "mapping_text" in chosen:
            targets = mapping.from_text(chosen["mapping_text"], header)
    except (UnreadableError, mapping.MappingError) as error:
        raise ImportRefusedError(str(error)) from None
    contact_import.encoding, contact_import.delimiter = encoding, delimiter
    contact_import.header, contact_import.mapping = header, targets


def remove_files(contact_import: ContactImport, *, upload: bool = True) -> None:
    """The rows' scratch file and, if wished, the upload itself."""
    full = upload_path(contact_import)
    full.with_suffix(".staged").unlink(missing_ok=True)
    if upload:
        full.unlink(missing_ok=True)


def forget_old_uploads() -> None:
    """Uploads that nobody started, or that failed, after KEEP_UPLOADS."""
    old = timezone.now() - KEEP_UPLOADS
    idle = ContactImport.objects.filter(created_at__lt=old).exclude(path="")
    for contact_import in idle.filter(status=ImportStatus.UPLOADED)[:20]:
        discard(contact_import)
    for contact_import in idle.filter(status__in=ENDED_IMPORT_STATUSES)[:20]:
        remove_files(contact_import)
        ContactImport.objects.filter(pk=contact_import.pk).update(path="")
