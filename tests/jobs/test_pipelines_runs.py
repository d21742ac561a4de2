"""What a pipeline's pages say about its runs."""

from datetime import timedelta

from django.utils import timezone

from accounts.permissions import Actor
from jobs.models import DurationRange, Job, StepCount
from projects.models import Pipeline
from projects.pipelines import drafts

BO = Actor(name="Bo Builder")


def run(spinner: Pipeline, *, seconds: float = 60, **fields: object) -> Job:
    began = timezone.now() - timedelta(hours=1)
    return Job.objects.create(
        **{
            "team": spinner.team, "project": spinner.project, "kind": "spinner",
            "pipeline": spinner, "version": spinner.current_version,
            "workflow_slug": spinner.slug, "label": spinner.name, "name": spinner.name,
            "status": "completed", "total_count": 10, "done_count": 10, "started_at": began,
            "completed_at": began + timedelta(seconds=seconds), **fields,
        }
    )  # fmt: skip


def test_the_list_says_how_it_runs_with_the_same_queries_for_any_number(
    make_spinner, as_user, operator, project, django_assert_max_num_queries
):
    spinner = make_spinner()
    run(spinner)
    run(spinner, status="failed")
    DurationRange.objects.create(pipeline=spinner, sample_count=9, low_seconds=48, high_seconds=391)
    client, url = as_user(operator), f"/portal/projects/{project.slug}/spinners"
    page = client.get(url).content.decode()
    for words in ("Renewal reminder", "v1", "Failed", "48s – 6m 31s", "2 steps"):
        assert words in page
    assert "Draft differs" not in page
    for number in range(8):
        other = make_spinner(name=f"S{number}", slug=f"s{number}")
        run(other)
        drafts.save_draft(other, BO, definition={"steps": []}, revision=1)
    with django_assert_max_num_queries(16):
        page = client.get(url).content.decode()
    assert page.count("Draft differs") == 8


def test_the_page_draws_the_runs_and_tells_them_in_a_table(make_spinner, as_user, viewer):
    spinner = make_spinner()
    for seconds in (60, 48, 391):
        job = run(spinner, seconds=seconds, done_count=7, failed_count=3)
    page = as_user(viewer).get(spinner.get_absolute_url()).content.decode()
    assert "longest 6m 31s" in page
    assert page.count('class="bar completed"') == 3
    assert page.count('class="bar failed"') == 3
    assert f'<a class="link" href="/portal/jobs/{job.pk}">#{job.pk}</a>' in page


def test_a_run_is_compared_with_the_one_before_step_by_step(
    make_spinner, as_user, viewer, outsider
):
    spinner = make_spinner()
    before, now = run(spinner), run(spinner)
    fast, slow = [0] * 20, [0] * 20
    fast[4], slow[16] = 10, 10
    for job, histogram, failed in ((before, fast, 0), (now, slow, 4)):
        StepCount.objects.create(
            job=job, step=1, reached_count=10, passed_count=10 - failed, failed_count=failed,
            histogram=histogram,
        )  # fmt: skip
    page = as_user(viewer).get(f"/portal/jobs/{now.pk}/comparison").content.decode()
    assert f"#{now.pk} beside #{before.pk}" in page
    assert "slower" in page
    assert "more failures" in page
    first = as_user(viewer).get(f"/portal/jobs/{before.pk}/comparison").content.decode()
    assert "is the first" in first
    assert as_user(outsider).get(f"/portal/jobs/{now.pk}/comparison").status_code == 404
