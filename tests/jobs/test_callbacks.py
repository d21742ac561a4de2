"""The signed address that answers a wait step."""

import pytest
from django.test import Client

from accounts.permissions import Actor
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.models import Record
from jobs.steps.callbacks import make_token

STEPS = [
    {"name": "ask", "kind": "wait", "config": {"for": "callback"}},
    {"name": "done", "kind": "outcome", "config": {"outcome": "answered"}},
]
PAGE = {"accept": "text/html"}


@pytest.fixture
def record(make_spinner, make_contacts, operator) -> Record:
    """On its way; the answer comes before it waits."""
    make_contacts(1)
    dispatch.dispatch_spinner(
        make_spinner(steps=STEPS), Actor(user=operator), selection=Selection(kind="all")
    )
    return Record.objects.get()


@pytest.fixture
def address(record: Record) -> str:
    return f"/callbacks/{make_token(record.pk, 'ask')}"


def test_opening_the_address_answers_nothing(client, record, address):
    page = client.get(address)
    assert "waits for your answer" in page.content.decode()
    assert page["Referrer-Policy"] == "no-referrer"
    assert not record.callbacks.exists()


def test_the_first_answer_counts_and_the_second_is_kept(record, address):
    client = Client(enforce_csrf_checks=True)  # no program has a token
    first = client.post(address, {"approved": True}, content_type="application/json")
    assert first.json() == {"status": "taken"}
    second = client.post(address, {"approved": False}, content_type="application/json")
    assert second.json() == {"status": "kept as a second answer"}
    assert record.callbacks.get().payload == {"approved": True}
    assert record.late_reports.get().payload == {"approved": False}
    assert "Answered already" in client.get(address).content.decode()


def test_a_person_confirms_by_button_and_a_form_is_taken_as_fields(client, record, address):
    page = client.post(address, {"choice": "yes"}, headers=PAGE)
    assert "Thank you" in page.content.decode()
    assert record.callbacks.get().payload == {"choice": "yes"}


@pytest.mark.parametrize("token", ["nonsense", "1.ask.{}".format("0" * 40)])
def test_an_address_that_was_not_signed_here_is_not_known(client, record, token):
    assert client.get(f"/callbacks/{token}").status_code == 404
    answer = client.post(f"/callbacks/{token}")
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_TOKEN")


def test_a_body_that_is_not_json_is_refused(client, record, address):
    answer = client.post(address, "{", content_type="application/json")
    assert answer.status_code == 400
    assert not record.callbacks.exists()
