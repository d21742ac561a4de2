"""Statements built once (config/prepared.py) answer as the ORM's own do."""

import pytest
from django.db import connection
from django.db.models import Count, QuerySet
from django.test.utils import CaptureQueriesContext

from accounts.models import Team
from config.prepared import Prepared
from jobs.models import Job
from projects.models import Project

COLUMNS = ("id", "created_at", "workflow_execution_id", "options", "team__name")


def jobs_of(team_ids: list[int], project_id: int) -> QuerySet[Job, tuple[object, ...]]:
    jobs = Job.objects.filter(team_id__in=team_ids, project_id__gte=project_id)
    return jobs.annotate(told=Count("events")).order_by("id").values_list(*COLUMNS, "told")


@pytest.fixture
def jobs(project: Project, other_project: Project) -> list[Job]:
    return [
        Job.objects.create(
            team=each.team, project=each, kind="workflow", label="SE Work", name=f"job {n}",
            options={"concurrency": n},
        )
        for n, each in enumerate((project, other_project, project))
    ]  # fmt: skip


def test_rows_and_names_are_the_orms(jobs: list[Job], team: Team, other_team: Team) -> None:
    """Times, UUIDs, JSON and an annotation come as Python's own types on every database."""
    prepared = Prepared(jobs_of)
    for teams in ([team.pk], [team.pk, other_team.pk], [team.pk, other_team.pk, 10**9]):
        expected = list(jobs_of(teams, 1))
        assert prepared.rows(team_ids=teams, project_id=1) == expected
        named = [dict(zip((*COLUMNS, "told"), row, strict=True)) for row in expected]
        assert prepared.dicts(team_ids=teams, project_id=1) == named
    assert prepared.rows(team_ids=[], project_id=1) == []


def test_texts_are_values_not_marks(jobs: list[Job]) -> None:
    prepared = Prepared(
        lambda name, status: Job.objects.filter(name=name, status=status).values_list("name")
    )
    for name in ("job 0", "value of a prepared statement 1", "job 0"):
        expected = [("job 0",)] if name == "job 0" else []
        assert prepared.rows(name=name, status="pending") == expected


def test_a_statement_is_built_once_for_each_power_of_two(jobs: list[Job], team: Team) -> None:
    built: list[int] = []

    def build(job_ids: list[int]) -> QuerySet[Job, tuple[int]]:
        built.append(len(job_ids))
        return Job.objects.filter(pk__in=job_ids).order_by("pk").values_list("pk")

    prepared = Prepared(build)
    ids = [job.pk for job in jobs]
    with CaptureQueriesContext(connection) as queries:
        for count in (1, 2, 3, 2, 3, 1):
            assert prepared.rows(job_ids=ids[:count]) == [(pk,) for pk in ids[:count]]
    assert built == [1, 2, 4]
    assert len(queries) == 6


def test_too_long_a_sequence_is_refused(db: None) -> None:
    prepared = Prepared(lambda ids: Job.objects.filter(pk__in=ids).values_list("pk"))
    with pytest.raises(ValueError, match="at most 4,096 values"):
        prepared.rows(ids=list(range(4_097)))


def test_a_value_that_does_not_reach_the_statement_is_refused(db: None) -> None:
    for build in (
        lambda job_id: Job.objects.filter(pk=job_id + 1).values_list("pk"),
        lambda job_id: Job.objects.values_list("pk"),
    ):
        with pytest.raises(TypeError, match="does not reach"):
            Prepared(build).rows(job_id=7)
