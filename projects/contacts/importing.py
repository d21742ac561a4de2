"""Importing a file of contacts: check all of it, then write it in slices.

    receiving.receive → start ─┐
    sweep ── lost, broken off ─┴→ work: claim → check → write … → done

Checking reads the whole file and writes no contact. Unless bad rows are to be skipped, one bad
row ends the import there: all or nothing. Writing then takes slices; each is one transaction with
its counts and position, under a fence, so a killed worker's import goes on where it stopped.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.fields import DateTimeField
from django.db.models.functions import Now
from django.utils import timezone

from projects.contacts import upsert
from projects.contacts.csv_reading import Table, UnreadableError
from projects.contacts.models import ACTIVE_IMPORT_STATUSES, ImportStatus
from projects.contacts.receiving import (
    forget_old_uploads,
    open_table,
    remove_files,
    upload_path,
)
from projects.contacts.rows import Problem, Row, RowReader
from projects.contacts.staging import Staging, position
from projects.contacts.verbs import recount
from projects.models import ContactImport, ContactImportProblem

logger = logging.getLogger(__name__)

SLICE = 2000
LEASE = timedelta(seconds=60)
# A message's worth of work; then the next message, so that no worker is held for minutes.
TURN_SECONDS = 10.0
MAX_ATTEMPTS = 5
MAX_PROBLEMS = 10_000

Progress = Callable[[ContactImport], None]


class LostClaimError(Exception):
    """Another worker has taken the import over; whatever is going on here stops."""


def work(
    import_id: int, *, turn_seconds: float | None = TURN_SECONDS, progress: Progress | None = None
) -> ContactImport | None:
    """Claim the import and bring it forward; None when another worker has it or it is over.

    Stops after `turn_seconds` (None: never) and sends the next hint.
    """
    contact_import = _claim(import_id)
    if contact_import is None:
        return None
    try:
        _advance(contact_import, turn_seconds, progress)
    except LostClaimError:
        logger.warning("Import %s was taken over by another worker", import_id)
        return None
    except UnreadableError as error:
        _end(contact_import, ImportStatus.FAILED, error=str(error))
    return contact_import


def sweep() -> int:
    """Offer again what is queued or broken off; forget old uploads. How many were offered."""
    due = ContactImport.objects.filter(status__in=ACTIVE_IMPORT_STATUSES).filter(
        Q(lease_until=None) | Q(lease_until__lt=Now())
    )
    ids = list(due.values_list("pk", flat=True)[:100])
    for import_id in ids:
        hint(import_id)
    forget_old_uploads()
    return len(ids)


def hint(import_id: int) -> None:
    from projects.tasks import import_contacts

    try:
        import_contacts.delay(import_id)
    except Exception:
        logger.warning("The message for import %s could not be sent", import_id, exc_info=True)


def _lease_end() -> Any:
    return ExpressionWrapper(Now() + LEASE, output_field=DateTimeField())


def _claim(import_id: int) -> ContactImport | None:
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    claimed = ContactImport.objects.filter(
        free, pk=import_id, status__in=ACTIVE_IMPORT_STATUSES
    ).update(
        fence=F("fence") + 1, attempt_count=F("attempt_count") + 1, lease_until=_lease_end()
    )  # fmt: skip
    if not claimed:
        return None
    contact_import = ContactImport.objects.select_related("project__team").get(pk=import_id)
    if contact_import.attempt_count > MAX_ATTEMPTS:
        stopped = (
            f"The worker stopped {MAX_ATTEMPTS} times while it read this file. "
            f"{contact_import.written_count:,} rows had been imported; importing the file again "
            "carries on and doubles nothing."
        )
        _end(contact_import, ImportStatus.FAILED, error=stopped)
        return None
    return contact_import


def _advance(
    contact_import: ContactImport, turn_seconds: float | None, progress: Progress | None
) -> None:
    began = time.monotonic()
    if contact_import.started_at is None:
        _update(contact_import, started_at=timezone.now())
    staging = _staging(contact_import)
    try:
        if contact_import.status != ImportStatus.WRITING or not staging.is_whole:
            staging.close()
            staging = _check(contact_import, progress)
            if contact_import.bad_count and not contact_import.skip_bad:
                # The upload stays for a while: the good rows may be wanted after all.
                _end(
                    contact_import, ImportStatus.FAILED, error=_refusal(contact_import),
                    keeps_upload=True,
                )  # fmt: skip
                return
            _update(contact_import, status=ImportStatus.WRITING)
        reached = (contact_import.position_rank, contact_import.position_line)
        for rows in staging.slices(SLICE, reached):
            _write_slice(contact_import, rows)
            if progress:
                progress(contact_import)
            if turn_seconds is not None and time.monotonic() - began > turn_seconds:
                # A turn that ended by itself is no failed attempt.
                _update(contact_import, lease_until=None, attempt_count=0)
                hint(contact_import.pk)
                return
    finally:
        staging.close()
    recount(contact_import.project_id)
    _end(contact_import, ImportStatus.COMPLETED)


def _refusal(contact_import: ContactImport) -> str:
    count = contact_import.bad_count
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    return (
        f"{rows} bad, so nothing was imported. Correct the file and import it again, "
        "or import it with bad rows skipped."
    )


def _staging(contact_import: ContactImport) -> Staging:
    return Staging(upload_path(contact_import).with_suffix(".staged"))


def _check(contact_import: ContactImport, progress: Progress | None) -> Staging:
    """Read and judge every row; the staging then holds the good ones, each contact once."""
    resumes = contact_import.status == ImportStatus.WRITING
    if not resumes:
        contact_import.problems.all().delete()
        _update(
            contact_import, status=ImportStatus.CHECKING, row_count=0, bad_count=0,
            duplicate_count=0,
        )  # fmt: skip
    file, table = open_table(contact_import)
    staging = Staging.make(upload_path(contact_import).with_suffix(".staged"))
    judge = _Judge(contact_import, staging, progress, keeps_quiet=resumes)
    try:
        reader = RowReader(table.header, contact_import.mapping)
        judge.read(table, reader)
        judge.drop_duplicates()
        judge.compare_with_contacts()
        staging.finish()
    except BaseException:
        staging.close()
        raise
    finally:
        table.close()
        file.close()
    return staging


class _Judge:
    """Fills the staging and writes the problems down. `keeps_quiet`: only remakes the staging of
    an import that had begun to write, whose counts and problems stand.
    """

    def __init__(
        self,
        contact_import: ContactImport,
        staging: Staging,
        progress: Progress | None,
        *,
        keeps_quiet: bool,
    ) -> None:
        self.contact_import = contact_import
        self.staging = staging
        self.progress = progress
        self.keeps_quiet = keeps_quiet
        self.row_count = 0
        self.bad_count = 0
        self.kept = 0

    def read(self, table: Table, reader: RowReader) -> None:
        good: list[Row] = []
        bad: list[Problem] = []
        for line, values in table:
            self.row_count += 1
            row = reader.read(line, values)
            if isinstance(row, Row):
                good.append(row)
            else:
                self.bad_count += 1
                bad += row
            if self.row_count % SLICE == 0:
                self._keep(good, bad)
                good, bad = [], []
        self._keep(good, bad)

    def _keep(self, good: list[Row], bad: list[Problem]) -> None:
        self.staging.add(good)
        self._report(bad)
        self._tell()

    def _tell(self) -> None:
        counts = (
            {} if self.keeps_quiet else {"row_count": self.row_count, "bad_count": self.bad_count}
        )
        _update(self.contact_import, lease_until=_lease_end(), **counts)
        if self.progress:
            self.progress(self.contact_import)

    def _report(self, problems: list[Problem], kind: str = ContactImportProblem.Kind.BAD) -> None:
        if self.keeps_quiet:
            return
        room = max(0, MAX_PROBLEMS - self.kept)
        self.kept += len(problems)
        _keep_problems(self.contact_import, problems[:room], kind)

    def drop_duplicates(self) -> None:
        count, listed = self.staging.drop_duplicates(keep=MAX_PROBLEMS)
        if self.keeps_quiet or not count:
            return
        problems = [
            Problem(line, "", f"Line {winner} is about the same contact and was taken instead.")
            for line, winner in listed
        ]
        _keep_problems(self.contact_import, problems, ContactImportProblem.Kind.DUPLICATE)
        _update(self.contact_import, duplicate_count=count, lease_until=_lease_end())

    def compare_with_contacts(self) -> None:
        """Rows that look good but do not say clearly which contact they mean."""
        for rows in self.staging.slices(SLICE):
            bad = upsert.find_unclear(self.contact_import.project, rows)
            if bad:
                self.bad_count += len(bad)
                self._report(bad)
                self.staging.remove([problem.line for problem in bad])
                self._tell()
        if not self.keeps_quiet:
            _update(
                self.contact_import, to_write_count=self.staging.count(), bad_count=self.bad_count,
                lease_until=_lease_end(),
            )  # fmt: skip


def _write_slice(contact_import: ContactImport, rows: list[Row]) -> None:
    for attempt in (1, 2, 3):
        try:
            with transaction.atomic():
                _write_once(contact_import, rows)
            return
        except IntegrityError:
            # Somebody made one of these contacts between our look and our write.
            if attempt == 3:
                raise
            contact_import.refresh_from_db()


def _write_once(contact_import: ContactImport, rows: list[Row]) -> None:
    project = contact_import.project
    plan = upsert.make_plan(
        project, rows, import_id=contact_import.pk, tag_name=contact_import.tag_name
    )
    upsert.write(project, plan, import_id=contact_import.pk)
    if plan.bad:
        _keep_problems(contact_import, plan.bad)
    rank, line = position(rows[-1])
    _update(
        contact_import, position_rank=rank, position_line=line, lease_until=_lease_end(),
        created_count=contact_import.created_count + len(plan.created),
        updated_count=contact_import.updated_count + plan.updated_count,
        unchanged_count=contact_import.unchanged_count + plan.unchanged_count,
        bad_count=contact_import.bad_count + len(plan.bad),
    )  # fmt: skip


def _keep_problems(
    contact_import: ContactImport,
    problems: list[Problem],
    kind: str = ContactImportProblem.Kind.BAD,
) -> None:
    ContactImportProblem.objects.bulk_create(
        [
            ContactImportProblem(
                contact_import=contact_import, kind=kind, line=p.line, column=p.column[:200],
                reason=p.reason[:300], value=p.value[:200],
            )
            for p in problems
        ],
        batch_size=2000,
    )  # fmt: skip


def _update(contact_import: ContactImport, **values: Any) -> None:
    """Write under the fence; LostClaimError when the import is somebody else's by now."""
    written = ContactImport.objects.filter(
        pk=contact_import.pk, fence=contact_import.fence, status__in=ACTIVE_IMPORT_STATUSES
    ).update(**values)
    if not written:
        raise LostClaimError
    for name, value in values.items():
        if name != "lease_until":
            setattr(contact_import, name, value)


def _end(
    contact_import: ContactImport,
    status: ImportStatus,
    *,
    error: str = "",
    keeps_upload: bool = False,
) -> None:
    _update(
        contact_import, status=status, error=error, completed_at=timezone.now(), lease_until=None
    )  # fmt: skip
    remove_files(contact_import, upload=not keeps_upload)
