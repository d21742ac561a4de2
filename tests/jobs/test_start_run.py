"""Starting a run: contacts from four sources, the forecast, the plan, and the double click."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse

from accounts.models import Usage
from accounts.permissions import Actor
from jobs.execution import dispatch, plan
from jobs.execution.selection import Selection
from jobs.models import DurationRange, Job, Record
from projects.models import SavedFilter

FORM = {"contacts": "all", "effort": "", "pace_per_minute": "", "failure_limit_percent": ""}


@pytest.fixture
def spinner(make_spinner):
    return make_spinner()


def post_form(client, project, spinner, **fields):
    url = reverse("jobs:start_run", args=[project.slug])
    return client.post(url, {"spinner": spinner.pk, **FORM, **fields})


def start(client, project, spinner, **fields):
    url = reverse("jobs:start_run_forecast", args=[project.slug])
    return client.post(url, {"spinner": spinner.pk, **FORM, "launch_key": "k1", **fields})


@pytest.mark.django_db
def test_the_forecast_says_what_it_takes_before_anything_starts(
    as_user, operator, team, project, spinner, make_contacts
):
    """P2: records, plan, reset date and usual length, and nothing has begun."""
    make_contacts(3)
    team.monthly_record_limit = 100
    team.save()
    Usage.objects.create(team=team, month=plan.this_month(), record_count=60)
    DurationRange.objects.create(
        pipeline=spinner, sample_count=9, low_seconds=50, high_seconds=150, record_seconds=10,
        record_low_seconds=5, record_high_seconds=15,
    )  # fmt: skip
    client = as_user(operator)
    response = post_form(client, project, spinner, pace_per_minute="600")
    page = client.get(response.url)
    text = page.content.decode()
    forecast = page.context["forecast"]
    assert (forecast.record_count, forecast.plan_used, forecast.fits_count) == (3, 60, 40)
    assert (forecast.low_seconds, forecast.high_seconds) == (15, 45)
    for words in ("60 of 100 records", "resets on", "15s to 45s", "at most 600 calls a minute"):
        assert words in text
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_the_forecast_minds_the_pace(as_user, operator, project, make_spinner, make_contacts):
    """R3: thirty records of one call each, at two a minute, take a quarter of an hour."""
    make_contacts(30)
    spinner = make_spinner([{"name": "send", "kind": "http", "config": {}}])
    client = as_user(operator)

    def told(spinner, pace) -> str:
        page = client.get(post_form(client, project, spinner, pace_per_minute=pace).url)
        return page.content.decode()

    assert "about 15m 00s by the pace you chose, if each record makes its 1 call" in told(
        spinner, 2
    )
    DurationRange.objects.create(
        pipeline=spinner, sample_count=9, low_seconds=5, high_seconds=15,
        record_low_seconds=0.5, record_high_seconds=1,
    )  # fmt: skip
    assert "makes its 1 call; without it 15s to 30s" in told(spinner, 2)
    assert "15s to 30s, from earlier runs" in told(spinner, 600)
    only_computing = make_spinner(slug="score", name="Score")
    assert "this spinner makes none, so that it does not matter" in told(only_computing, 2)


@pytest.mark.django_db
def test_a_double_click_starts_one_run(as_user, operator, project, spinner, make_contacts):
    make_contacts(3)
    client = as_user(operator)
    first, second = (
        start(client, project, spinner, effort="high", failure_limit_percent="5") for _ in "12"
    )
    assert first.url == second.url
    run = Job.objects.get()
    assert (run.total_count, run.effort_level) == (3, "high")
    assert run.options == {"failure_limit_percent": 5}
    assert run.created_by == operator


@pytest.mark.django_db
def test_past_the_plan_it_says_used_allowed_reset_and_what_fits(
    as_user, operator, team, project, spinner, make_contacts
):
    """P2: PLAN_LIMIT"""
    make_contacts(3)
    team.monthly_record_limit = 2
    team.save()
    response = start(as_user(operator), project, spinner)
    page = response.content.decode()
    assert response.status_code == 409
    for words in ("Plan limit", "Would still fit", "2 records", "Resets on"):
        assert words in page
    assert not Job.objects.exists()
    forecast_url = post_form(as_user(operator), project, spinner).url
    assert "This does not fit the plan" in as_user(operator).get(forecast_url).content.decode()


@pytest.mark.django_db
def test_a_saved_filter_chooses_the_contacts(as_user, operator, project, spinner, make_contacts):
    make_contacts(4)
    saved = SavedFilter.objects.create(
        project=project, name="Pros", querystring="attribute=plan&value=pro"
    )
    start(as_user(operator), project, spinner, contacts="filter", filter=saved.pk)
    assert Job.objects.get().total_count == 2


@pytest.mark.django_db
def test_those_that_failed_in_an_earlier_run(as_user, operator, project, spinner, make_contacts):
    make_contacts(3)
    earlier = dispatch.dispatch_spinner(spinner, Actor(user=operator), selection=Selection())
    failed = earlier.records.order_by("position").first()
    Record.objects.filter(pk=failed.pk).update(status="failed")
    Job.objects.filter(pk=earlier.pk).update(failed_count=1)
    start(as_user(operator), project, spinner, contacts="failed_of", failed_of=earlier.pk)
    run = Job.objects.latest("pk")
    assert [r.contact_id for r in run.records.all()] == [failed.contact_id]


@pytest.mark.django_db
def test_a_file_is_imported_tagged_and_run_over(
    as_user, operator, project, spinner, make_contacts, settings, tmp_path
):
    settings.MEDIA_ROOT = tmp_path
    make_contacts(2)
    file = SimpleUploadedFile("new.csv", b"external_id,name,email\nx-1,Ada,ada@example.com\n")
    client = as_user(operator)
    response = post_form(client, project, spinner, contacts="file", file=file)
    page = client.get(response.url)
    assert page.context["forecast"].record_count == 1
    assert project.tags.get().name == "new.csv"
    start(client, project, **{**page.context["params"], "spinner": spinner})
    assert [r.contact_name for r in Job.objects.get().records.all()] == ["Ada"]


@pytest.mark.django_db
def test_a_file_that_cannot_be_read_says_why(
    as_user, operator, project, spinner, settings, tmp_path
):
    settings.MEDIA_ROOT = tmp_path
    file = SimpleUploadedFile("bad.csv", b"")
    response = post_form(as_user(operator), project, spinner, contacts="file", file=file)
    assert response.status_code == 200
    assert response.context["form"].errors["file"]


@pytest.mark.django_db
def test_foreign_spinners_and_runs_cannot_be_chosen(
    as_user, operator, other_project, project, make_spinner
):
    """X1"""
    foreign = make_spinner(project=other_project)
    response = start(as_user(operator), project, foreign)
    assert response.url == reverse("jobs:start_run", args=[project.slug])
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_without_a_published_spinner_it_says_what_to_do(as_user, operator, project, make_spinner):
    make_spinner(publish=False)
    page = as_user(operator).get(reverse("jobs:start_run", args=[project.slug])).content.decode()
    assert "No published spinner yet" in page


RACES = 100


@pytest.mark.django_db(transaction=True)
def test_two_launches_cannot_pass_the_plan_together(operator, team, spinner, make_contacts):
    """P4: both want the last five records; one gets them, again and again."""
    make_contacts(5)
    actor = Actor(user=operator)
    for race in range(1, RACES + 1):
        type(team).objects.filter(pk=team.pk).update(monthly_record_limit=race * 5)
        together = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            tries = [pool.submit(_launch, spinner, actor, together) for _ in range(2)]
            outcomes = sorted(one.result() for one in tries)
        assert outcomes == ["PLAN_LIMIT", "started"]
    assert Usage.objects.get(team=team).record_count == Record.objects.count() == RACES * 5


def _launch(spinner, actor, together):
    try:
        together.wait(timeout=30)
        dispatch.dispatch_spinner(spinner, actor, selection=Selection())
    except dispatch.Refused as refusal:
        return refusal.code
    finally:
        connection.close()
    return "started"
