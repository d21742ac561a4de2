"""Importing files of contacts (S05): every way of writing a CSV file, and every way it goes wrong."""

import io
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.permissions import SYSTEM
from projects.contacts import importing, receiving, upsert
from projects.contacts.models import ImportStatus
from projects.contacts.rows import Row
from projects.models import Contact, ContactImport, Project

Import = Callable[..., ContactImport]


@pytest.fixture(autouse=True)
def uploads(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def run_import(project) -> Import:
    """Import a text (or bytes) as a file, in the foreground."""

    def run(content: str | bytes, **chosen: object) -> ContactImport:
        content = content.encode() if isinstance(content, str) else content
        target = chosen.pop("project", project)
        received = receiving.receive(
            target, SYSTEM, file=io.BytesIO(content), file_name="people.csv", **chosen
        )
        assert receiving.start(received)
        done = importing.work(received.pk, turn_seconds=None)
        assert done is not None
        return done

    return run


def names(project: Project) -> list[str]:
    return sorted(project.contacts.values_list("name", flat=True))


SWEDISH = "Namn;E-post;Stad\nÅsa Öberg;asa@example.com;Malmö\n"


@pytest.mark.parametrize(
    "content",
    [
        SWEDISH.encode(),
        SWEDISH.encode("utf-8-sig"),
        SWEDISH.encode("utf-16"),
        SWEDISH.encode("utf-16-le"),
        SWEDISH.encode("utf-16-be"),
        SWEDISH.encode("cp1252"),
        SWEDISH.replace(";", ",").encode(),
        SWEDISH.replace(";", "\t").encode(),
        SWEDISH.replace(";", "|").encode(),
        SWEDISH.replace("\n", "\r\n").encode(),
        SWEDISH.replace("\n", "\r").encode(),
    ],
)
def test_encodings_and_delimiters(project, run_import, content):
    done = run_import(content)
    contact = project.contacts.get()
    assert (contact.name, contact.email) == ("Åsa Öberg", "asa@example.com")
    assert contact.attributes == {"Stad": "Malmö"}
    assert contact.last_import_id == done.pk
    project.refresh_from_db()
    assert project.contact_count == 1


def test_quoted_newlines_and_line_numbers(project, run_import):
    done = run_import(
        'id,email,note\n1,a@example.com,"two\nlines, and ""quotes"""\n\n2,not-an-address,x\n',
        skip_bad=True,
    )
    assert project.contacts.get().attributes == {"note": 'two\nlines, and "quotes"'}
    problem = done.problems.get()
    assert (problem.line, problem.column, problem.value) == (5, "email", "not-an-address")


def test_one_bad_row_stops_everything(project, run_import):
    done = run_import("email\nada@example.com\nbroken\n")
    assert done.status == ImportStatus.FAILED
    assert "nothing was imported" in done.error
    assert not project.contacts.exists()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"x1,nul\x00name,,", "NUL"),
        (b"x1,,nobody,", "e-mail address"),
        (b"x1,,,call me", "phone number"),
        (b"x1," + b"n" * 301 + b",,", "Longer than 300"),
        (b"x" * 121 + b",,,", "Longer than 120"),
        (b",Only A Name,,", "no external id"),
        (b"x1,a,a@example.com,+4670,extra", "5 cells"),
        ("x1,Åsa,,".encode("cp1252"), "encoding"),
    ],
)
def test_bad_rows_are_named_and_the_good_ones_kept(project, run_import, row, reason):
    content = b"id,name,email,phone\n" + row + b"\nx2,Good,good@example.com,+46 70\n"
    done = run_import(content, skip_bad=True, encoding="utf-8")
    assert names(project) == ["Good"]
    assert (done.status, done.bad_count) == (ImportStatus.COMPLETED, 1)
    assert done.problems.get().line == 2
    assert reason in done.problems.get().reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"email," + b"c," * 1_000_000 + b"\n", "longer than 1,000,000"),
        (b"email," + b"c," * 300 + b"\n", "302 columns"),
        (b'email,note\na@example.com,"' + b"open\n" * 40_000, "quotation mark"),
        (b"email\n" + b"x" * 1_200_000 + b"\n", "longer than"),
        (b"email\na@example.com\nb@example.com\nc@example.com\n", "more than 2 rows"),
        ("email\na@example.com".encode("utf-16") + b"\x00", "UTF-16"),
        (b"Name,City\nAda,London\n", "cannot be told apart"),
    ],
)
def test_unusable_files_say_why(project, run_import, settings, content, reason):
    settings.SPINDLE_MAX_IMPORT_ROWS = 2
    try:
        error = run_import(content).error
    except receiving.ImportRefusedError as refused:
        error = str(refused)
    assert reason in error
    assert not project.contacts.exists()


def test_upload_is_limited_by_its_bytes(project, run_import, settings, uploads):
    settings.SPINDLE_MAX_UPLOAD_MB = 1
    with pytest.raises(receiving.ImportRefusedError, match="larger than 1 MB"):
        run_import(b"email\n" + b"a@example.com\n" * 80_000)
    assert not list(uploads.rglob("*.csv"))


FILE = (
    "External ID,Full name,E-mail,Phone,Plan,Tags\n"
    '7,Ada Park,ADA@example.com,\'+46 70 123,pro,"vip, north"\n'
    ",Bo Lind,bo@example.com,,free,\n"
    ",Phone Only,,+46 8 5,,north\n"
)


def test_importing_twice_equals_importing_once(project, run_import):
    first = run_import(FILE)
    assert (first.created_count, first.unchanged_count) == (3, 0)
    before = list(project.contacts.order_by("id").values("id", "name", "updated_at", "attributes"))
    second = run_import(FILE)
    assert (second.created_count, second.updated_count, second.unchanged_count) == (0, 0, 3)
    after = list(project.contacts.order_by("id").values("id", "name", "updated_at", "attributes"))
    assert before == after
    ada = project.contacts.get(external_id="7")
    assert (ada.email, ada.phone) == ("ada@example.com", "+46 70 123")
    assert sorted(ada.tags.values_list("name", flat=True)) == ["north", "vip"]
    project.refresh_from_db()
    assert project.contact_count == 3
    assert project.contacts.filter(last_import=second).count() == 3


def test_contacts_are_updated_by_external_id_else_email(project, run_import):
    """Empty cells keep what is there; other projects' contacts stay untouched."""
    run_import(FILE)
    done = run_import(
        "id,name,email\n7,Ada P.,new@example.com\n8,,BO@example.com\n9,Nine,nine@example.com\n"
    )
    assert (done.created_count, done.updated_count) == (1, 2)
    ada = project.contacts.get(external_id="7")
    assert (ada.name, ada.email, ada.attributes) == ("Ada P.", "new@example.com", {"Plan": "pro"})
    bo = project.contacts.get(external_id="8")
    assert bo.name == "Bo Lind"
    assert "new@example.com" in ada.search_text


def test_the_last_of_duplicates_in_a_file_wins(project, run_import):
    content = (
        "id,name,email\n1,Old,one@example.com\n2,Two,two@example.com\n1,New,one@example.com\n"
        ",Nameless,two@example.com\n"
    )
    done = run_import(content)
    assert (done.created_count, done.duplicate_count) == (2, 2)
    assert names(project) == ["New", "Two"]
    assert [(p.line, p.kind) for p in done.problems.all()] == [(2, "duplicate"), (5, "duplicate")]
    assert run_import(content).unchanged_count == 2


def test_an_email_of_several_contacts_needs_the_external_id(project, run_import):
    run_import("id,email\n1,info@example.com\n2,info@example.com\n")
    done = run_import("email,name\ninfo@example.com,Who\n")
    assert done.status == ImportStatus.FAILED
    assert "2 contacts have this e-mail" in done.problems.get().reason


def test_duplicate_headers_become_attributes(project, run_import):
    done = run_import("email,email,email,\na@example.com,b@example.com,c@example.com,x\n")
    assert done.mapping == ["email", "attribute:email", "attribute:email 2", ""]
    assert project.contacts.get().attributes == {
        "email": "b@example.com", "email 2": "c@example.com",
    }  # fmt: skip


def test_a_killed_import_goes_on_where_it_stopped(project, run_import, monkeypatch):
    monkeypatch.setattr(importing, "SLICE", 10)
    content = "email\n" + "".join(f"p{n}@example.com\n" for n in range(35))
    received = receiving.receive(
        project, SYSTEM, file=io.BytesIO(content.encode()), file_name="people.csv"
    )
    ContactImport.objects.filter(pk=received.pk).update(status=ImportStatus.QUEUED)
    seen = []

    def die(contact_import):
        seen.append(contact_import.written_count)
        if contact_import.written_count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing.work(received.pk, turn_seconds=None, progress=die)
    assert project.contacts.count() == 20
    assert importing.work(received.pk) is None, "the lease still holds"
    ContactImport.objects.filter(pk=received.pk).update(lease_until=None)
    receiving.upload_path(received).with_suffix(".staged").unlink()  # another machine's worker
    done = importing.work(received.pk, turn_seconds=None)
    assert (done.status, done.created_count, done.row_count) == (ImportStatus.COMPLETED, 35, 35)
    assert project.contacts.count() == 35
    assert not list(receiving.upload_path(received).parent.glob("*"))


def test_command_imports_and_reports(project, tmp_path, capsys):
    path = tmp_path / "contacts.csv"
    path.write_text("Kundnr;Mail;Skip\n5;five@example.com;x\n6;bad;y\n")
    arguments = [
        "import_contacts",
        project.slug,
        str(path),
        "--mapping",
        "Kundnr=external_id,Skip=ignore",
    ]
    with pytest.raises(CommandError, match="nothing was imported"):
        call_command(*arguments)
    assert "line 3, Mail: Not an e-mail address. (bad)" in capsys.readouterr().err
    call_command(*arguments, "--skip-bad", "--tag", "spring")
    assert "2 rows: 1 created, 0 updated, 0 unchanged" in capsys.readouterr().out
    contact = Contact.objects.get(project=project)
    assert (contact.external_id, contact.attributes) == ("5", {})
    assert contact.tags.get().name == "spring"


def test_good_rows_can_be_taken_after_all(project, run_import):
    failed = run_import("email\nada@example.com\nbroken\n")
    assert receiving.start_with_good_rows(failed)
    assert not receiving.start_with_good_rows(failed), "pressed twice"
    done = importing.work(failed.pk)
    assert (done.status, done.created_count, done.bad_count) == ("completed", 1, 1)
    assert done.problems.count() == 1
    done.refresh_from_db()
    assert not receiving.start_with_good_rows(done)


def test_sweep_offers_lost_imports_and_forgets_old_uploads(project, run_import, uploads):
    old = timezone.now() - receiving.KEEP_UPLOADS * 2
    failed = run_import("email\nada@example.com\nbroken\n")
    idle = receiving.receive(project, SYSTEM, file=io.BytesIO(b"email\na@b.cc\n"), file_name="x")
    ContactImport.objects.filter(pk__in=[failed.pk, idle.pk]).update(created_at=old)
    assert importing.sweep() == 0
    assert not list(uploads.rglob("*.csv"))
    assert list(ContactImport.objects.values_list("pk", "path")) == [(failed.pk, "")]


def test_a_worker_that_keeps_dying_ends_the_import(project, run_import):
    received = receiving.receive(
        project, SYSTEM, file=io.BytesIO(b"email\na@example.com\n"), file_name="x.csv"
    )
    receiving.start(received)
    ContactImport.objects.filter(pk=received.pk).update(attempt_count=importing.MAX_ATTEMPTS)
    assert importing.work(received.pk) is None
    received.refresh_from_db()
    assert received.status == ImportStatus.FAILED
    assert "importing the file again" in received.error


def test_lookups_use_the_partial_indexes(project):
    """Without their condition in the query they are not used, and an import goes by the square."""
    rows = [Row(2, external_id="1"), Row(3, phone="1")]
    with CaptureQueriesContext(connection) as queries:
        upsert.make_plan(project, rows)
    found = " ".join(query["sql"] for query in queries)
    assert 'NOT ("projects_contact"."external_id" = \'\')' in found
    assert 'NOT ("projects_contact"."phone" = \'\')' in found


def test_command_exports_what_the_import_reads_unchanged(project, make_contacts, tmp_path, capsys):
    make_contacts(3)
    path = tmp_path / "out.csv"
    call_command("export_contacts", project.slug, str(path))
    call_command("import_contacts", project.slug, str(path))
    assert "3 rows: 0 created, 0 updated, 3 unchanged" in capsys.readouterr().out
    call_command("export_contacts", project.slug, "--filter", "q=c-2")
    assert "c-2,Contact 2," in capsys.readouterr().out
    with pytest.raises(CommandError, match="no project"):
        call_command("export_contacts", "nowhere")
