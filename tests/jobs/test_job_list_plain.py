"""Plain filters read by statements built once give what the filterset gives (J3, J11)."""

import itertools

import pytest
from django.http import QueryDict

from jobs.filtersets.jobs import JobFilterSet
from jobs.models import Job
from jobs.querysets.keyset import page_of
from jobs.querysets.plain import exact_rows, looked_up, page_of_team, running_of_team
from projects.models import Project

VALUES = {
    "status": ["", "running", "completed"],
    "workflow": ["", "se-work"],
    "agent": ["", "agent-1"],
    "effort": ["", "max"],
    "ticket": ["", "SCRUM-1", "scrum-1", "A_%", "12", "99"],
}
TICKETS = itertools.cycle(["SCRUM-12", "SCRUM-120", "", "OPS-12", "scrum-1", "A_%-1", "AB-1"])


@pytest.fixture
def jobs(project: Project, other_project: Project) -> list[Job]:
    statuses = ("running", "completed", "failed")
    return Job.objects.bulk_create(
        Job(
            team=each.team, project=each, kind="workflow", label="x", name="x", status=status,
            workflow_slug=workflow, agent_name=agent, effort_level=effort, ticket_key=next(TICKETS),
        )
        for each in (project, other_project)
        for status, workflow, agent, effort in itertools.product(
            statuses, ("se-work", "qa"), ("agent-1", "agent-2"), ("max", "")
        )
    )  # fmt: skip


def test_every_combination_and_the_pages_behind(jobs: list[Job], project: Project) -> None:
    own = Job.objects.filter(team_id=project.team_id)
    for values in itertools.product(*VALUES.values()):
        address = {k: v for k, v in zip(VALUES, values, strict=True) if v}
        query = QueryDict(mutable=True)
        query.update(address)
        filterset = JobFilterSet(query, queryset=Job.objects.none())
        plain = filterset.plain()
        assert plain is not None
        filters = looked_up(project.team_id, plain)
        expected = filterset.apply(own)
        after = ""
        for _ in range(3):
            found = page_of_team(project.team_id, filters, after, 5)
            same = page_of(expected, ["-id"], {"after": after}, size=5)
            assert [job.pk for job in found.rows] == [job.pk for job in same.rows], address
            assert (found.after, found.before) == (same.after, same.before)
            after = found.after or str(10**6)
        running = filterset.apply(own.running(), without={"status"})
        assert running_of_team(project.team_id, filters) == running.count(), address


@pytest.mark.parametrize(
    "query", ["status=active", "ticket=A-1&kind=run", "kind=run", "status=bogus"]
)
def test_anything_else_is_not_plain(query: str, db: None) -> None:
    assert JobFilterSet(QueryDict(query), queryset=Job.objects.none()).plain() is None


def test_a_key_or_id_typed_in_full(
    jobs: list[Job], project: Project, other_project: Project
) -> None:
    """J9: of the user's teams alone, newest first, at most five."""
    own = [job for job in Job.objects.order_by("-id") if job.team_id == project.team_id]

    def found(text: str) -> list[int]:
        return [job.pk for job in exact_rows([project.team_id], text)]

    for text, keys in (("SCRUM-12", {"SCRUM-12"}), ("scrum-1", {"scrum-1", "SCRUM-1"})):
        same = [job.pk for job in own if job.ticket_key in keys]
        assert found(text) == same[:5]
    assert found("SCRUM-1") == []
    other = Job.objects.filter(team_id=other_project.team_id).first()
    assert other is not None
    for text in ("{}", "#{}", "pipeline-job-{}"):
        assert found(text.format(own[3].pk)) == [own[3].pk]
        assert found(text.format(other.pk)) == []
