"""The pages of contacts: who may open them, what they show, how many queries they take."""

import csv
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from projects.contacts import importing
from projects.models import Contact, ContactImport, Project, SavedFilter, Tag


@pytest.fixture(autouse=True)
def uploads(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


def url(name: str, project: Project, *args: object, query: str = "") -> str:
    address = reverse(f"projects:{name}", args=[project.slug, *args])
    return f"{address}?{query}" if query else address


PAGES = [
    # name, takes a key, method, a viewer's status, an operator's status
    ("contacts", "", "get", 200, 200),
    ("contacts_export", "", "get", 200, 200),
    ("contact", "contact", "get", 200, 200),
    ("contact_new", "", "get", 403, 200),
    ("contact_edit", "contact", "get", 403, 200),
    ("contact_delete", "contact", "get", 403, 200),
    ("contact_delete", "contact", "post", 403, 302),
    ("contact_tags", "", "post", 403, 302),
    ("saved_filter_new", "", "post", 403, 302),
    ("saved_filter_delete", "filter", "post", 403, 302),
    ("contacts_import", "", "get", 403, 200),
    ("contacts_import", "", "post", 403, 200),
    ("contact_import", "import", "get", 403, 200),
    ("contact_import", "import", "post", 403, 200),
    ("contact_import_problems", "import", "get", 403, 200),
]


@pytest.mark.parametrize(("name", "key", "method", "for_viewer", "for_operator"), PAGES)
def test_roles(
    project, make_contacts, as_user, viewer, operator, outsider,
    name, key, method, for_viewer, for_operator,
):  # fmt: skip
    keys = {
        "contact": make_contacts(1)[0].pk,
        "filter": SavedFilter.objects.create(project=project, name="x", querystring="q=x").pk,
        "import": ContactImport.objects.create(project=project, file_name="a", status="failed").pk,
    }
    address = url(name, project, *([keys[key]] if key else []))
    assert getattr(as_user(outsider), method)(address).status_code == 404
    assert getattr(as_user(viewer), method)(address).status_code == for_viewer
    expected = 302 if (name, method) == ("contact_import", "post") else for_operator
    assert getattr(as_user(operator), method)(address).status_code == expected


def test_keys_of_other_projects_are_not_found(
    project, other_project, make_contacts, as_user, operator
):
    (foreign,) = make_contacts(1, project=other_project)
    client = as_user(operator)
    for name in ("contact", "contact_edit", "contact_delete"):
        assert client.get(url(name, project, foreign.pk)).status_code == 404


def test_list_pages_by_key(project, make_contacts, as_user, viewer):
    make_contacts(120)
    client = as_user(viewer)
    seen: list[str] = []
    address = url("contacts", project)
    while address:
        page = client.get(address).content.decode()
        seen += re.findall(r"<b>Contact (\d+)</b>", page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = url("contacts", project) + older[1] if older else ""
    assert seen == [str(n) for n in range(120, 0, -1)]
    newer = re.search(r'rel="prev" href="([^"]+)"', page)
    page = client.get(url("contacts", project) + newer[1]).content.decode()
    assert re.findall(r"<b>Contact (\d+)</b>", page) == [str(n) for n in range(70, 20, -1)]


def test_list_takes_the_same_queries_for_any_number(
    project, make_contacts, as_user, viewer, django_assert_max_num_queries
):
    for contact in make_contacts(50):
        contact.tags.add(Tag.objects.get_or_create(project=project, name="vip")[0])
    client = as_user(viewer)
    client.get(url("contacts", project))
    with django_assert_max_num_queries(16):
        client.get(url("contacts", project, query="q=contact&has_email=yes"))


def test_fragment_and_page_show_the_same_rows(project, make_contacts, as_user, viewer):
    make_contacts(3)
    client = as_user(viewer)
    headers = {"HX-Request": "true", "HX-Target": "contact-list"}
    fragment = client.get(url("contacts", project, query="q=c-2"), headers=headers)
    assert b"<html" not in fragment.content
    assert re.findall(rb"<b>Contact (\d+)</b>", fragment.content) == [b"2"]


def test_empty_states_say_why(project, make_contacts, as_user, viewer):
    client = as_user(viewer)
    assert "No contacts yet" in client.get(url("contacts", project)).content.decode()
    make_contacts(1)
    page = client.get(url("contacts", project, query="q=nobody&has_phone=no")).content.decode()
    assert "No contact matches" in page
    assert "“nobody”, without phone" in page


def test_add_edit_and_delete_keep_the_count(project, as_user, operator):
    client = as_user(operator)
    sent = {
        "name": " Ada  Park ", "email": "ADA@example.com", "tags": "vip, north",
        "attribute_key": ["plan", ""], "attribute_value": ["pro", ""],
    }  # fmt: skip
    client.post(url("contact_new", project), sent)
    contact = project.contacts.get()
    assert (contact.name, contact.email, contact.attributes) == (
        "Ada Park", "ada@example.com", {"plan": "pro"},
    )  # fmt: skip
    assert contact.search_text == "ada park ada@example.com"
    taken = client.post(url("contact_new", project), sent).content.decode()
    assert "Another contact has this e-mail: Ada Park." in taken
    nothing = client.post(url("contact_new", project), {"name": "Nobody"}).content.decode()
    assert "needs an external id, an e-mail or a phone" in nothing
    Contact.objects.filter(pk=contact.pk).update(attributes={"size": 5})
    client.post(
        url("contact_edit", project, contact.pk),
        {"phone": "+46 70", "attribute_key": ["size"], "attribute_value": ["5"]},
    )
    contact.refresh_from_db()
    assert (contact.phone, contact.email, contact.attributes) == ("+46 70", "", {"size": 5})
    assert not contact.tags.exists()
    for _ in range(2):
        client.post(url("contact_delete", project, contact.pk))
    project.refresh_from_db()
    assert (project.contact_count, project.contacts.count()) == (0, 0)


@pytest.mark.parametrize("scope", ["ticked", "all"])
def test_tags_for_many(project, other_project, make_contacts, as_user, operator, scope):
    contacts = make_contacts(6)
    foreign = make_contacts(1, project=other_project)[0]
    client = as_user(operator)
    sent = {
        "scope": scope, "tag": "pro plan", "action": "add", "back": "q=c",
        "querystring": "attribute=plan&value=pro",
        "ids": [contacts[0].pk, contacts[2].pk, contacts[4].pk, foreign.pk],
    }  # fmt: skip
    response = client.post(url("contact_tags", project), sent, follow=True)
    assert "3 contacts tagged “pro plan”." in response.content.decode()
    tagged = Contact.objects.filter(tags__name="pro plan")
    assert {c.external_id for c in tagged} == {"c-1", "c-3", "c-5"}
    again = client.post(url("contact_tags", project), sent, follow=True)
    assert "0 contacts tagged" in again.content.decode()
    client.post(url("contact_tags", project), {**sent, "action": "remove"})
    assert not Tag.objects.filter(name="pro plan").exists()


def test_saved_filters_are_the_teams(project, make_contacts, as_user, operator, viewer):
    make_contacts(2)
    sent = {"name": "Seconds", "querystring": "q=c-2&after=9"}
    for _ in range(2):
        as_user(operator).post(url("saved_filter_new", project), sent)
    saved = SavedFilter.objects.get(project=project)
    assert (saved.querystring, saved.created_by_name) == ("q=c-2", "Olu Operator")
    assert (
        'href="?q=c-2">Seconds</a>'
        in as_user(viewer).get(url("contacts", project)).content.decode()
    )


def test_export_is_safe_and_reads_back_unchanged(project, make_contacts, as_user, viewer, operator):
    """S05: no cell begins like a formula, and importing the export changes nothing."""
    one, _two, three = make_contacts(3)
    one.name, one.attributes = "=cmd|' /C calc'!A0", {
        "-sum": "@x", "n": 5, "on": True, "deep": {"a": [1]}, "email": "else", "quote": "'=x",
        "lines": 'a\n"b"', "none": None,
    }  # fmt: skip
    one.save()
    three.tags.add(Tag.objects.create(project=project, name="+plus"))
    response = as_user(viewer).get(url("contacts_export", project, query="q=example"))
    content = b"".join(response.streaming_content)
    for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    before = list(project.contacts.order_by("id").values())
    done = upload_and_start(as_user(operator), project, content)
    assert (done.unchanged_count, done.updated_count, done.created_count) == (3, 0, 0)
    after = list(project.contacts.order_by("id").values())
    assert [{**row, "last_import_id": None} for row in after] == before


def test_export_holds_what_the_filter_selects(project, make_contacts, as_user, viewer):
    make_contacts(4)
    response = as_user(viewer).get(
        url("contacts_export", project, query="attribute=plan&value=pro")
    )
    rows = list(
        csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig")))
    )
    assert [(row["external_id"], row["plan"]) for row in rows] == [("c-1", "pro"), ("c-3", "pro")]


def upload_and_start(client, project, content: bytes, **sent: object) -> ContactImport:
    file = SimpleUploadedFile("people.csv", content)
    page = client.post(url("contacts_import", project), {"file": file})
    assert page.status_code == 302, page.content.decode()
    received = ContactImport.objects.latest("id")
    columns = {f"column_{n}": target for n, target in enumerate(received.mapping)}
    settings = {"encoding": received.encoding, "delimiter": received.delimiter}
    client.post(page["Location"], {"action": "start", **settings, **columns, **sent})
    importing.work(received.pk, turn_seconds=None)
    received.refresh_from_db()
    return received


def test_import_from_upload_to_result(project, as_user, operator):
    client = as_user(operator)
    file = SimpleUploadedFile("people.csv", "Namn;Kod\nÅsa;a@example.com\nBo;b@\n".encode("cp1252"))
    address = client.post(url("contacts_import", project), {"file": file})["Location"]
    page = client.get(address).content.decode()
    assert '<option value="cp1252" selected>' in page
    assert '<option value=";" selected>' in page
    assert "contacts cannot be told apart" in page
    sent = {
        "encoding": "cp1252", "delimiter": ";", "column_0": "name", "column_1": "email",
        "tag_name": "new",
    }  # fmt: skip
    page = client.post(address, {**sent, "action": "preview"}, follow=True).content.decode()
    assert "<b>Line 3</b>, Kod: Not an e-mail address." in page
    assert not project.contacts.exists()
    page = client.post(
        address, {**sent, "skip_bad": "on", "action": "start"}, follow=True
    ).content.decode()
    assert "Waiting for a worker" in page
    received = ContactImport.objects.get()
    client.post(address, {**sent, "action": "start"})  # pressed twice
    assert importing.work(received.pk).status == "completed"
    assert importing.work(received.pk) is None
    assert client.get(address, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "Not an e-mail address." in client.get(address).content.decode()
    contact = project.contacts.get()
    assert (contact.name, contact.tags.get().name) == ("Åsa", "new")
    response = client.get(url("contact_import_problems", project, received.pk))
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[1] == "3,Kod,Not an e-mail address.,b@,bad"


def test_upload_larger_than_the_limit_is_refused(project, as_user, operator, settings):
    """S06: the bytes that arrive are counted."""
    settings.SPINDLE_MAX_UPLOAD_MB = 1
    file = SimpleUploadedFile("people.csv", b"email\n" + b"a@example.com\n" * 160_000)
    response = as_user(operator).post(url("contacts_import", project), {"file": file})
    assert response.status_code == 413
    assert "larger than 1 MB" in response.content.decode()
    assert not ContactImport.objects.exists()


def test_discarding_an_upload_leaves_nothing(project, as_user, operator, settings):
    client = as_user(operator)
    file = SimpleUploadedFile("people.csv", b"email\na@example.com\n")
    address = client.post(url("contacts_import", project), {"file": file})["Location"]
    client.post(address, {"action": "discard"})
    assert not ContactImport.objects.exists()
    assert not list(settings.MEDIA_ROOT.rglob("*.csv"))
