"""The demo's workflows: one of each mode, and they run without any outside service."""

from datetime import timedelta

from django.utils import timezone

from accounts.permissions import Actor
from config.demo import workflows
from jobs.execution import engine, waits
from jobs.execution.dispatch import approve, dispatch_workflow
from jobs.models import JobType, Record
from projects.models import Pipeline
from projects.steps.validation import validate


def test_a_workflow_of_each_mode_is_published_and_runs_to_its_end(team, project, builder):
    actor = Actor(user=builder)
    workflows.make(team, actor)
    made = list(Pipeline.objects.workflows().published())
    types = JobType.objects.in_bulk(field_name="slug")
    assert {types[p.job_type_slug].mode for p in made} == {"Design", "Develop", "Content", "Deploy"}
    jobs = []
    for pipeline in made:
        assert validate(pipeline.current_version.definition, secrets=set()) == []
        jobs.append(
            dispatch_workflow(
                pipeline, actor, project=project, input={"hint": "look at the login page"},
                ticket_url="https://tracker.example.com/browse/SCRUM-329",
            )
        )  # fmt: skip
    engine.run_here()
    Record.objects.filter(wait_kind="until").update(wait_until=timezone.now() - timedelta(1))
    waits.resume_due()
    engine.run_here()
    for record in Record.objects.filter(wait_kind="approval"):
        approve(record, actor)
    engine.run_here()
    for job in jobs:
        job.refresh_from_db()
        assert (job.status, job.workflow_slug) == ("completed", job.workflow_slug), job.error
    outputs = {job.workflow_slug: job.output for job in jobs}
    assert "SCRUM-329" in outputs["generate-plan"]
    assert "12 files" in outputs["se-work"]
    assert outputs["deploy-preview"].endswith("Approved and deployed.")
