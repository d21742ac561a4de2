"""The API: the same rights, filters and refusals as the pages, for programs (X11)."""

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken, Role, Team
from accounts.permissions import Actor
from jobs.api.access import CallerThrottle
from jobs.execution import dispatch
from jobs.models import Job, Record


class Program:
    """A program with a token: `program.get("/api/jobs")`."""

    def __init__(self, text: str) -> None:
        self.client = Client(headers={"authorization": f"Bearer {text}"})

    def __getattr__(self, method: str) -> Any:
        def call(path: str, body: Any = None, **headers: str) -> Any:
            return getattr(self.client, method)(
                path, body, content_type="application/json",
                headers={name.replace("_", "-"): value for name, value in headers.items()},
            )  # fmt: skip

        if method == "get":
            return self.client.get
        return call


def token_of(team, role=Role.OPERATOR) -> tuple[ApiToken, str]:
    return ApiToken.issue(team=team, name="ci", role=role, user=None)


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    cache.clear()


@pytest.fixture
def program(team) -> Program:
    return Program(token_of(team)[1])


@pytest.fixture
def stranger(other_team) -> Program:
    return Program(token_of(other_team, Role.ADMIN)[1])


@pytest.fixture
def run_of_five(make_contacts, make_spinner, operator) -> Job:
    from jobs.execution.selection import Selection

    make_contacts(5)
    return dispatch.dispatch_spinner(
        make_spinner(), Actor(user=operator), selection=Selection(kind="all")
    )


def test_jobs_are_listed_as_on_the_page(program, stranger, run_of_five, as_user, viewer):
    """X1, X11."""
    answer = program.get("/api/jobs?status=pending").json()
    assert [row["id"] for row in answer["results"]] == [run_of_five.pk]
    row = answer["results"][0]
    assert (row["status"], row["counts"]["total"], row["counts"]["remaining"]) == ("pending", 5, 5)
    assert (answer["count"], answer["next"]) == (1, None)
    assert as_user(viewer).get("/api/jobs").json()["results"] == [row]
    assert program.get("/api/jobs?status=failed").json()["results"] == []
    assert program.get("/api/jobs?status=nonsense").json()["code"] == "INVALID"
    assert stranger.get("/api/jobs").json()["count"] == 0


def test_the_list_pages_by_key_and_its_queries_do_not_grow(
    program, project, django_assert_max_num_queries
):
    for number in range(7):
        Job.objects.create(team=project.team, project=project, kind="build", label=f"b{number}")
    first = program.get("/api/jobs?size=5").json()
    with django_assert_max_num_queries(5):
        rest = program.get(f"/api/jobs?size=5&after={first['next']}").json()
    assert len(first["results"]) == 5
    assert len(rest["results"]) == 2
    assert rest["next"] is None


@pytest.mark.parametrize(
    "path", ["jobs/{id}", "jobs/{id}/events", "jobs/{id}/cancel", "jobs/{id}/resend"]
)
def test_a_foreign_job_is_not_found(stranger, run_of_five, path):
    method = "post" if path.endswith(("cancel", "resend")) else "get"
    answer = getattr(stranger, method)(f"/api/{path.format(id=run_of_five.pk)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("how", ["none", "unknown", "revoked", "expired"])
def test_who_is_not_signed_in_is_told_so(team, operator, how):
    """W03: a revoked token stops at once."""
    token, text = token_of(team)
    if how == "revoked":
        tokens.revoke(token, Actor(user=operator))
    if how == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    client = Client() if how == "none" else Program("spt_x_y" if how == "unknown" else text)
    for path in ("/api/jobs", "/api/builds", "/api/runs/stream"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")


def test_a_viewers_token_may_only_read(team, project, run_of_five):
    reader = Program(token_of(team, Role.VIEWER)[1])
    assert reader.get(f"/api/jobs/{run_of_five.pk}").status_code == 200
    for path, body in (
        (f"/api/jobs/{run_of_five.pk}/cancel", None),
        ("/api/builds", {"project": project.slug}),
    ):
        answer = reader.post(path, body)
        assert answer.status_code == 403
        assert "Operator" in answer.json()["detail"]


def test_the_detail_masks_private_input_and_says_what_to_do(program, project):
    """X5."""
    job = Job.objects.create(
        team=project.team, project=project, kind="workflow", label="SE Work", status="failed",
        error="401", error_type="configuration", error_step="2 (send)",
        input={"api_key": "hush", "hint": "soon"},
    )  # fmt: skip
    answer = program.get(f"/api/jobs/{job.pk}").json()
    assert answer["input"] == {"api_key": "••••••••", "hint": "soon"}
    assert answer["error"]["action"].startswith("Fix the token or URL")


def test_cancel_and_resend_act_once(program, run_of_five):
    pk = run_of_five.pk
    assert program.post(f"/api/jobs/{pk}/resend").json()["code"] == "NOT_FAILED"
    assert program.post(f"/api/jobs/{pk}/cancel").json()["status"] == "cancelled"
    first = program.post(f"/api/jobs/{pk}/resend", {"effort": "high"})
    again = program.post(f"/api/jobs/{pk}/resend")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["effort_level"] == "high"
    assert program.get(f"/api/jobs/{pk}").json()["resent_as"] == first.json()["id"]
    kinds = [e["kind"] for e in program.get(f"/api/jobs/{pk}/events").json()["results"]]
    assert kinds[0] == "job.created"
    assert "job.cancelled" in kinds


def test_a_repeated_launch_starts_one_run(program, project, make_spinner, make_contacts):
    make_contacts(3)
    make_spinner(slug="reminder")
    path = f"/api/projects/{project.slug}/spinners/reminder/runs"
    answers = [program.post(path, {"effort": "max"}, Idempotency_Key="k-1") for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert Job.objects.count() == 1
    assert answers[0].json()["source"] == "api"
    assert Record.objects.count() == 3
    records = program.get(f"/api/projects/{project.slug}/records?status=pending").json()
    assert records["count"] == 3
    contacts = program.get(f"/api/projects/{project.slug}/contacts?q=contact").json()
    assert [row["external_id"] for row in contacts["results"]] == ["c-1", "c-2", "c-3"]


def test_a_used_up_plan_says_how_much_and_until_when(program, project, make_spinner, make_contacts):
    make_contacts(3)
    make_spinner(slug="reminder")
    project.team.monthly_record_limit = 2
    project.team.save()
    answer = program.post(f"/api/projects/{project.slug}/spinners/reminder/runs", {})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (402, "PLAN_LIMIT")
    assert (body["used"], body["allowed"], body["fits"]) == (0, 2, 2)
    assert body["resets_on"][-3:] == "-01"
    assert Job.objects.count() == 0


def test_a_program_may_let_a_run_wait_for_the_plan(program, project, make_spinner, make_contacts):
    """P3: pending with the reason; more than a month's plan is refused all the same."""
    make_contacts(3)
    make_spinner(slug="reminder")
    path = f"/api/projects/{project.slug}/spinners/reminder/runs"
    Team.objects.filter(pk=project.team_id).update(monthly_record_limit=2)
    assert program.post(path, {"wait_for_plan": True}).status_code == 402
    Team.objects.filter(pk=project.team_id).update(monthly_record_limit=4)
    program.post(path, {})
    answer = program.post(path, {"wait_for_plan": True})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (201, "pending")
    assert "needs 3 records, and 1 of this month's 4 are left" in body["pending_reason"]


def test_a_workflow_is_dispatched_to_an_agent(program, project, make_spinner):
    make_spinner(kind="workflow", project=None, team=project.team, slug="se-work", name="SE Work")
    path = f"/api/projects/{project.slug}/workflows/se-work/jobs"
    assert program.post(path, {"agent": "nobody"}).json()["fields"]["agent"]
    body = {"ticket_url": "https://x.example/browse/OPS-12", "hint": "be quick"}
    job = program.post(path, body).json()
    assert (job["name"], job["ticket_key"]) == ("se-work — OPS-12", "OPS-12")
    assert job["input"] == {"hint": "be quick"}


def test_a_busy_token_is_slowed_and_told_when_to_come_again(program, monkeypatch):
    monkeypatch.setattr(CallerThrottle, "rate", "2/min", raising=False)
    answers = [program.get("/api/projects") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 0
    assert answers[2].json()["code"] == "TOO_MANY"


def test_the_schema_describes_every_route(client):
    text = client.get("/api/schema").content.decode()
    for path in ("/api/jobs/{id}/resend", "/api/builds/{id}", "/api/projects/{slug}/records"):
        assert path in text


# Builds and runs ---------------------------------------------------------------------------------


def test_a_build_is_reported_from_its_start_to_its_end(program, stranger, project):
    made = program.post("/api/builds", {"project": project.slug, "external_id": "gh-9"})
    assert made.status_code == 201
    build = made.json()
    assert (build["status"], build["key"]) == ("pending", f"build:{build['id']}")
    path = f"/api/builds/{build['id']}"
    assert program.patch(path, {"status": "running"}).json()["started_at"]
    assert program.patch(path, {"status": "running"}).json()["status"] == "running"
    assert program.patch(path, {"status": "done", "output": "ok"}).json()["status"] == "done"
    late = program.patch(path, {"status": "failed"})
    assert (late.status_code, late.json()["code"]) == (409, "ALREADY_ENDED")
    assert stranger.patch(path, {"status": "failed"}).status_code == 404
    assert stranger.get("/api/builds").json() == {"builds": []}
    second = program.post("/api/builds", {"project": project.pk, "status": "running"}).json()
    listed = program.get(f"/api/builds?projectId={project.pk}").json()["builds"]
    assert [row["id"] for row in listed] == [second["id"], build["id"]]
    job = Job.objects.get(pk=build["id"])
    assert (job.status, job.output, job.total_count) == ("completed", "ok", 0)
    assert [e.kind for e in job.events.all()] == ["job.created", "job.started", "job.completed"]
    assert program.get(f"/api/runs/{job.pk}").status_code == 404


def test_a_server_run_stops_when_its_program_has_stopped_it(program, project, operator):
    run = program.post("/api/runs", {"project": project.slug, "status": "running"}).json()
    path = f"/api/runs/{run['id']}"
    job = dispatch.cancel(Job.objects.get(pk=run["id"]), Actor(user=operator))
    assert job.is_cancelling
    assert program.patch(path, {"status": "running"}).json()["cancel_requested"]
    assert program.patch(path, {"status": "stopping"}).json()["status"] == "stopping"
    assert program.patch(path, {"status": "done"}).json()["status"] == "cancelled"


def test_a_pending_report_is_cancelled_at_once_and_its_program_is_told(program, project, operator):
    build = program.post("/api/builds", {"project": project.slug}).json()
    dispatch.cancel(Job.objects.get(pk=build["id"]), Actor(user=operator))
    answer = program.patch(f"/api/builds/{build['id']}", {"status": "running"})
    assert (answer.status_code, answer.json()["status"]) == (409, "cancelled")


def test_a_failed_build_tells_its_error_and_cannot_be_resent(program, project):
    build = program.post("/api/builds", {"project": project.slug, "status": "running"}).json()
    body = {"status": "failed", "error": "E42", "error_type": "compilation_failure"}
    program.patch(f"/api/builds/{build['id']}", body)
    job = program.get(f"/api/jobs/{build['id']}").json()
    assert (job["error"]["message"], job["error"]["explanation"]) == (
        "E42", "The code did not compile.",
    )  # fmt: skip
    assert (
        "start it again there" in program.post(f"/api/jobs/{build['id']}/resend").json()["detail"]
    )


def test_a_repeated_report_makes_one_build(program, project):
    body = {"project": project.slug}
    first = program.post("/api/builds", body, Idempotency_Key="n-7")
    again = program.post("/api/builds", body, Idempotency_Key="n-7")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert program.post("/api/builds", {"project": "elsewhere"}).status_code == 404
