"""The Jobs pages over a million jobs, beside the stock admin list and the bare SQL.

    createdb spindle_jobs_bench
    DATABASE_URL=postgresql://user@host/spindle_jobs_bench uv run python -m bench.jobs_pages

Seeds once (a second call finds the rows), then measures inside one process, through the whole
middleware stack, as a signed-in user: p50, p95 and best of `--rounds` requests, interleaved so
that a slow moment of the machine hits every page alike (ratios are of the best); then eight
clients at once against a server.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("SPINDLE_LOG_LEVEL", "ERROR")

import django  # noqa: E402 -- settings come from the environment above

django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.urls import path  # noqa: E402

from accounts.models import Membership, Role, Team, User  # noqa: E402
from bench.hammer import hammer, wait_for  # noqa: E402
from config import urls as portal_urls  # noqa: E402
from config.serving import settle_in  # noqa: E402
from jobs.models import Job  # noqa: E402
from projects.models import Pipeline, Project  # noqa: E402

EMAIL = "bench@example.com"
WORKFLOWS = [
    "se-work", "se-rca-fix", "qa-validate", "deploy-preview", "renewal-reminder", "generating-plan",
    "validating-gate", "executing-code", "agent_se_work", "changelog",
]  # fmt: skip

SEED_SQL = """
INSERT INTO jobs_job (
    team_id, project_id, kind, workflow_slug, label, agent_name, name, status, effort_level, input,
    output, error, error_type, error_step, ticket_url, ticket_key, current_step, steps, step_count,
    slack_channel_id, slack_thread_ts, workflow_execution_id, options, total_count, done_count,
    failed_count, skipped_count, cancelled_count, uncertain_count, waiting_count, created_at,
    started_at, completed_at, created_by_name, source, external_id, cancel_requested_by_name,
    is_corrected, event_count, event_bytes, selection, planned_count, planning_cursor,
    planning_ceiling, stop_error{extra_columns}
)
SELECT
    team, project, CASE WHEN slug = 'renewal-reminder' THEN 'spinner' ELSE 'workflow' END, slug,
    initcap(replace(slug, '-', ' ')), agent, slug || ' — ' || coalesce(nullif(ticket, ''), 'queued'),
    status, effort, '{{"hint": "Jira webhook: jira:issue_updated"}}', 'Opened a pull request', '',
    CASE WHEN status = 'failed' THEN 'provider_error' ELSE '' END, '',
    CASE WHEN ticket = '' THEN '' ELSE 'https://tracker.example.com/browse/' || ticket END, ticket,
    3, '[]', 5, '', '', gen_random_uuid(), '{{}}', 1,
    (status = 'completed')::int, (status = 'failed')::int, 0, (status = 'cancelled')::int, 0,
    (status = 'waiting')::int, at, at + interval '2 seconds',
    CASE WHEN status IN ('completed', 'failed', 'cancelled')
         THEN at + interval '2 seconds' + length * interval '1 second' END,
    'Mira K.', 'api', '', '', false, 9, 2000, '{{}}', 1, 0, 0, ''{extra_values}
FROM (
    SELECT n,
        CASE WHEN mod(n, 20) = 0 THEN %(other)s ELSE %(team)s END AS team,
        CASE WHEN mod(n, 20) = 0 THEN %(other_project)s ELSE %(project)s END AS project,
        (%(slugs)s::text[])[1 + mod((power(random(), 2) * 10)::int, 10)] AS slug,
        'venmate-agent-' || lpad((1 + power(random(), 2) * 40)::int::text, 2, '0') AS agent,
        CASE WHEN random() < 0.7 THEN
            (ARRAY['SCRUM', 'MVP', 'OPS'])[1 + mod((random() * 2.99)::int, 3)] || '-'
            || (random() * 90000)::int ELSE '' END AS ticket,
        CASE WHEN n > %(count)s - 24 THEN 'running' WHEN n > %(count)s - 40 THEN 'waiting'
             WHEN n > %(count)s - 60 THEN 'pending' WHEN random() < 0.90 THEN 'completed'
             WHEN random() < 0.75 THEN 'failed' ELSE 'cancelled' END AS status,
        (ARRAY['max', 'high', 'medium', ''])[1 + mod((random() * 3.99)::int, 4)] AS effort,
        now() - (%(count)s - n) * interval '20 seconds' AS at, 5 + random() * 600 AS length
    FROM generate_series(1, %(count)s) AS n
) AS spread
"""
LEAN = engines["django"].from_string(
    "<!doctype html><title>Jobs</title><table>{% for job in jobs %}<tr><td><a href='/portal/jobs/"
    "{{ job.id }}'>{{ job.workflow_slug }}</a></td><td>{{ job.ticket_key }}</td><td>"
    "{{ job.agent_name }}</td><td>{{ job.status }}</td><td>{{ job.created_at }}</td></tr>"
    "{% endfor %}</table>"
)
# The same rows inside the portal's own shell: what any page of the portal costs at least.
LEAN_IN_SHELL = engines["django"].from_string(
    "{% extends 'base.html' %}{% block content %}<table>{% for job in jobs %}<tr><td><a href='"
    "/portal/jobs/{{ job.id }}'>{{ job.workflow_slug }}</a></td><td>{{ job.ticket_key }}</td><td>"
    "{{ job.agent_name }}</td><td>{{ job.status }}</td><td>{{ job.created_at }}</td></tr>"
    "{% endfor %}</table>{% endblock %}"
)
BARE_COLUMNS = ("id", "workflow_slug", "ticket_key", "agent_name", "status", "created_at")


@login_required
def lean_page(request: HttpRequest) -> HttpResponse:
    """The leanest honest 50-row page: signed in, scoped to one team, plain values, no shell."""
    team = Membership.objects.values_list("team_id", flat=True).get(user_id=request.user.pk)
    jobs = Job.objects.filter(team_id=team).order_by("-id").values(*BARE_COLUMNS)[:50]
    template = LEAN_IN_SHELL if "shell" in request.GET else LEAN
    return HttpResponse(template.render({"jobs": jobs}, request))


class StockAdmin(admin.ModelAdmin):
    """What most teams have: a few columns, filters, a search box."""

    list_display = ("id", "workflow_slug", "ticket_key", "agent_name", "status", "created_at")
    list_filter = ("status", "effort_level")
    search_fields = ("ticket_key",)
    list_per_page = 50


stock_site = admin.AdminSite(name="stock")
stock_site.register(Job, StockAdmin)
urlpatterns = [
    path("bench/lean", lean_page),
    path("bench/admin/", stock_site.urls),
    *portal_urls.urlpatterns,
]


def seed(count: int) -> None:
    """Set-wise: one INSERT … SELECT, then the indexes as the migrations define them, then VACUUM."""
    call_command("migrate", verbosity=0)
    if Job.objects.count() >= count:
        return
    began = time.perf_counter()
    team = Team.objects.create(name="Bench", slug="bench")
    other = Team.objects.create(name="Bench other", slug="bench-other")
    project = Project.objects.create(team=team, name="Bench", slug="bench")
    other_project = Project.objects.create(team=other, name="Other", slug="bench-other")
    Pipeline.objects.create(
        team=team, kind="workflow", name="SE Work", slug="se-work", draft={"steps": []}
    )
    user = User.objects.create_superuser(EMAIL, "long-pass-phrase", name="Bench")
    Membership.objects.create(team=team, user=user, role=Role.ADMIN)
    extra = _required_columns()
    sql = SEED_SQL.format(
        extra_columns="".join(f", {name}" for name in extra),
        extra_values="".join(f", {value}" for value in extra.values()),
    )
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("SET synchronous_commit = off")
        indexes = _drop_indexes(cursor)
        cursor.execute(
            sql,
            {
                "count": count, "team": team.pk, "other": other.pk, "project": project.pk,
                "other_project": other_project.pk, "slugs": WORKFLOWS,
            },
        )  # fmt: skip
        for definition in indexes:
            cursor.execute(definition)
        made = time.perf_counter()
        cursor.execute("VACUUM ANALYZE jobs_job")
    print(
        f"seeded {count:,} jobs in {made - began:.0f} s, vacuumed in {time.perf_counter() - made:.0f} s"
    )


def _drop_indexes(cursor: Any) -> list[str]:
    """Take away what would be kept up row by row; gives the statements that bring it back."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'jobs_job' AND indexname NOT IN"
        " (SELECT conname FROM pg_constraint)"
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def _required_columns() -> dict[str, str]:
    """Columns added to the model since, with a neutral value each, so that the seed keeps working."""
    known = SEED_SQL.split("(", 1)[1].split("{extra_columns}")[0]
    listed = {word.strip() for word in known.replace("\n", " ").split(",")}
    found = {}
    for field in Job._meta.concrete_fields:
        if field.primary_key or field.null or field.column in listed:
            continue
        kind = field.get_internal_type()
        neutral = {"JSONField": "'{}'", "BooleanField": "false", "DateTimeField": "now()"}
        found[field.column] = neutral.get(kind, "0" if "Integer" in kind else "''")
    return found


def pages() -> dict[str, str]:
    team = Team.objects.get(slug="bench")
    jobs = Job.objects.filter(team=team).order_by("-id")
    deep = jobs.values_list("pk", flat=True)[500_000]
    failed = jobs.filter(status="failed").order_by("-id").values_list("pk", flat=True)[20_000]
    ticket = jobs.exclude(ticket_key="").values_list("ticket_key", flat=True)[1_000]
    return {
        "lean page": "/bench/lean",
        "lean page in the shell": "/bench/lean?shell",
        "list, first page": "/portal/jobs",
        "list, 500,000 rows deep": f"/portal/jobs?after={deep}",
        "tab Running": "/portal/jobs?status=running",
        "tab Waiting": "/portal/jobs?status=waiting",
        "tab Completed": "/portal/jobs?status=completed",
        "tab Failed": "/portal/jobs?status=failed",
        "tab Cancelled": "/portal/jobs?status=cancelled",
        "tab Failed, 20,000 deep": f"/portal/jobs?status=failed&after={failed}",
        "workflow": "/portal/jobs?workflow=qa-validate",
        "workflow and failed": "/portal/jobs?workflow=qa-validate&status=failed",
        "agent": "/portal/jobs?agent=venmate-agent-09",
        "effort": "/portal/jobs?effort=max",
        "search, whole key": f"/portal/jobs?ticket={ticket}",
        "search, prefix SCRUM-12": "/portal/jobs?ticket=SCRUM-12",
        "search, number": f"/portal/jobs?ticket={ticket.rpartition('-')[2]}",
        "search, nothing found": "/portal/jobs?ticket=NOPE-1",
        "next 50 rows (fragment)": f"/portal/jobs?after={deep}&fragment",
        "detail": f"/portal/jobs/{jobs.values_list('pk', flat=True)[1_000]}",
        "stock admin, page 1": "/bench/admin/jobs/job/",
        "stock admin, page 5,000": "/bench/admin/jobs/job/?p=5000",
        "stock admin, ticket search": f"/bench/admin/jobs/job/?q={ticket}",
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    client = Client()
    client.force_login(User.objects.get(email=EMAIL))
    wanted = pages()
    taken: dict[str, list[float]] = {name: [] for name in wanted}
    client.get("/portal/jobs")
    settle_in()
    queries: dict[str, int] = {}
    for number in range(rounds + 1):
        for name, url in wanted.items():
            if "stock" in name and number % 3 not in {0, 1}:
                continue
            headers = {}
            if url.endswith("&fragment"):
                url = url.removesuffix("&fragment")
                headers = {"HX-Request": "true", "HX-Target": "older-jobs"}
            with CaptureQueriesContext(connection) if number == 0 else _nothing() as captured:
                began = time.perf_counter()
                response = client.get(url, headers=headers)
                seconds = time.perf_counter() - began
            if response.status_code != 200:
                raise SystemExit(f"{url} answers {response.status_code}")
            if number == 0:
                queries[name] = len(captured)
            else:
                taken[name].append(seconds * 1000)
    return {
        name: {
            "p50_ms": round(statistics.median(times), 2),
            "p95_ms": round(statistics.quantiles(times, n=20)[18], 2),
            # Least disturbed by neighbours on a busy machine.
            "best_ms": round(min(times), 2),
            "queries": queries[name],
        }
        for name, times in taken.items()
    }  # fmt: skip


class _nothing:  # noqa: N801 -- reads like the context manager it stands in for
    def __enter__(self) -> list[str]:
        return []

    def __exit__(self, *_: object) -> None: ...


def bare_sql(rounds: int) -> dict[str, float]:
    """The statements alone, rows fetched, nothing made of them."""
    team = Team.objects.get(slug="bench").pk
    deep = Job.objects.filter(team=team).order_by("-id").values_list("pk", flat=True)[500_000]
    columns = ", ".join(BARE_COLUMNS)
    statements: dict[str, tuple[str, list[object]]] = {
        "keyset, first page": (
            f"SELECT {columns} FROM jobs_job WHERE team_id=%s ORDER BY id DESC LIMIT 51", [team],
        ),
        "keyset, 500,000 deep": (
            f"SELECT {columns} FROM jobs_job WHERE team_id=%s AND id<%s ORDER BY id DESC LIMIT 51",
            [team, deep],
        ),
        "OFFSET 500,000": (
            f"SELECT {columns} FROM jobs_job WHERE team_id=%s ORDER BY id DESC LIMIT 51 OFFSET 500000",
            [team],
        ),
        "count(*)": ("SELECT count(*) FROM jobs_job WHERE team_id=%s", [team]),
        "status counts by GROUP BY": (
            "SELECT status, count(*) FROM jobs_job WHERE team_id=%s GROUP BY status", [team],
        ),
    }  # fmt: skip
    found = {}
    with connection.cursor() as cursor:
        for name, (sql, values) in statements.items():
            times = []
            for _ in range(max(rounds // 3, 5)):
                began = time.perf_counter()
                cursor.execute(sql, values)
                cursor.fetchall()
                times.append((time.perf_counter() - began) * 1000)
            found[name] = round(statistics.median(times), 2)
    return found


def eight_clients(seconds: float) -> dict[str, dict[str, float]]:
    """Eight clients at once, a connection each, against daphne with the same addresses."""
    client = Client()
    client.force_login(User.objects.get(email=EMAIL))
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v0"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SPINDLE_ALLOWED_HOSTS": "*"}
    server = subprocess.Popen([*command, "bench.jobs_pages_asgi:application"], env=env, cwd=ROOT)
    try:
        wait_for(port)
        pages = {"list": "/portal/jobs", "lean": "/bench/lean", "stock": "/bench/admin/jobs/job/"}
        return {name: hammer(port, url, cookie, seconds) for name, url in pages.items()}
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--clients-seconds", type=float, default=5)
    parser.add_argument("--profile", default="", help="only profile this address")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seed(options.jobs)
    with override_settings(ROOT_URLCONF="bench.jobs_pages", ALLOWED_HOSTS=["*"]):
        if options.profile:
            profile(options.profile)
            return
        figures = measure(options.rounds)
        sql = bare_sql(options.rounds)
        clients = eight_clients(options.clients_seconds)
    lean = figures["lean page"]["best_ms"]
    stock = figures["stock admin, page 1"]["best_ms"]
    for name, row in figures.items():
        print(
            f"{name:28} p50 {row['p50_ms']:8.2f} ms   p95 {row['p95_ms']:8.2f} ms   "
            f"best {row['best_ms']:7.2f} ms   {row['queries']:2} queries   "
            f"{row['best_ms'] / lean:5.2f} × lean   "
            f"{stock / row['best_ms']:5.1f} × faster than stock"
        )
    for name, ms in sql.items():
        print(f"SQL {name:24} p50 {ms:8.2f} ms")
    for name, row in clients.items():
        print(f"8 clients, {name}: {row}")
    if options.json:
        options.json.write_text(json.dumps({"pages": figures, "sql": sql}, indent=1))


def profile(address: str) -> None:
    import cProfile
    import pstats

    client = Client()
    client.force_login(User.objects.get(email=EMAIL))
    client.get(address)
    run: Callable[[], None] = lambda: [client.get(address) for _ in range(20)]  # type: ignore[assignment]  # noqa: E731
    profiler = cProfile.Profile()
    profiler.runcall(run)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    sys.modules["bench.jobs_pages"] = sys.modules["__main__"]
    main()
