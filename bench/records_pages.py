"""How long the record pages take with millions of records, beside the bare SQL.

    createdb spindle_bench
    DATABASE_URL=postgresql://…/spindle_bench uv run python -m bench.records_pages --records 10000000

Seeds set-wise once (a second call with the same number measures only), then asks each page through
the whole stack (URL, view, template) and runs the statement that fetches its rows alone. Needs
PostgreSQL; a database of its own, since it fills it. `--json FILE` keeps the figures.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

RUN_SIZE = 20_000
STATEMENTS = {
    "contacts": """
        INSERT INTO projects_contact (project_id, external_id, name, email, phone, attributes,
            search_text, created_at, updated_at)
        SELECT %(project)s, 'c-' || i, 'Contact ' || i, 'c' || i || '@example.com', '', '{}',
            'contact ' || i || ' c' || i || '@example.com c-' || i, now(), now()
        FROM generate_series(1, %(contacts)s) i""",
    "runs": """
        INSERT INTO jobs_job (team_id, project_id, kind, pipeline_id, version_id, workflow_slug,
            label, agent_name, name, status, effort_level, input, output, error, error_type,
            error_step, ticket_url, ticket_key, current_step, steps, step_count, slack_channel_id,
            slack_thread_ts, workflow_execution_id, options, total_count, done_count, failed_count,
            skipped_count, cancelled_count, uncertain_count, waiting_count, created_at, started_at,
            completed_at, created_by_name, source, external_id, cancel_requested_by_name,
            is_corrected, event_count, event_bytes{extra_columns})
        SELECT %(team)s, %(project)s, 'spinner', p.id, p.current_version_id, p.slug, p.name, '',
            p.name, 'completed', '', '{}', '', '', '', '', '', '', 0, %(steps)s, 4, '', '',
            gen_random_uuid(), '{}', %(size)s, %(size)s * 90 / 100, %(size)s * 6 / 100, 0, 0,
            %(size)s / 100, %(size)s / 100, now() - (%(runs)s - r) * interval '10 minutes',
            now() - (%(runs)s - r) * interval '10 minutes',
            now() - (%(runs)s - r) * interval '10 minutes' + interval '5 minutes',
            'Bench', 'portal', '', '', false, 5, 500{extra_values}
        FROM generate_series(1, %(runs)s) r
        JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS n FROM projects_pipeline) p
            ON p.n = r %% (SELECT count(*) FROM projects_pipeline)
        ORDER BY r""",
    "records": """
        INSERT INTO jobs_record (job_id, team_id, project_id, pipeline_id, contact_id, contact_name,
            contact_email, position, status, next_step, intent_step, resend_number, "values",
            journey, outcome, outcome_metadata, error, error_type, error_step, cause, wait_kind,
            wait_token_hash, is_corrected, created_at, started_at, completed_at, active_ms
            {extra_columns})
        SELECT j.id, j.team_id, j.project_id, j.pipeline_id, c.id, c.name, c.email, i,
            k.status, 5, 0, 0, '{}', %(journey)s,
            CASE WHEN k.status = 'completed' THEN
                CASE WHEN s.n %% 100003 = 7 THEN 'rare' ELSE 'outcome_' || s.n %% 5 END
                ELSE '' END, '{}',
            CASE WHEN k.status = 'failed' THEN 'HTTP 422 for ' || s.n ELSE '' END,
            CASE WHEN k.status = 'failed' THEN 'rejected_request' ELSE '' END,
            CASE WHEN k.status IN ('failed', 'uncertain') THEN 1 + s.n %% 4 ELSE 0 END,
            CASE WHEN k.status <> 'failed' THEN ''
                WHEN s.n %% 50021 < 7 THEN 'a rare cause' ELSE 'cause ' || (s.n / 100) %% 12 END,
            CASE WHEN k.status = 'waiting' THEN 'approval' ELSE '' END, '', false,
            j.created_at, j.started_at,
            CASE WHEN k.status IN ('pending', 'waiting') THEN NULL
                ELSE j.started_at + i * interval '15 milliseconds' END, 412
            {extra_values}
        FROM jobs_job j
        CROSS JOIN generate_series(1, %(size)s) i
        CROSS JOIN LATERAL (SELECT (j.id - %(first)s) * %(size)s + i AS n) s
        CROSS JOIN LATERAL (SELECT CASE
            WHEN s.n %% 100 < 90 THEN 'completed' WHEN s.n %% 100 < 96 THEN 'failed'
            WHEN s.n %% 100 = 96 THEN 'waiting' WHEN s.n %% 100 = 97 THEN 'uncertain'
            WHEN s.n %% 100 = 98 THEN 'skipped' ELSE 'pending' END AS status) k
        JOIN projects_contact c ON c.id = %(first_contact)s + s.n %% %(contacts)s
        WHERE j.id BETWEEN %(from)s AND %(to)s
        ORDER BY j.id, i""",
}
STEPS = [
    {"name": name, "kind": kind, "config": {}}
    for name, kind in (("compose", "template"), ("check", "condition"), ("send", "http"), ("done", "outcome"))
]  # fmt: skip
JOURNEY = [
    {"step": n, "name": s["name"], "kind": s["kind"], "status": "completed", "ms": 0.4,
     "started_at": "2026-11-24T08:00:41.123456+00:00", "attempts": 1, "input": {}, "output": {},
     "error": "", "key": "", "log": []}
    for n, s in enumerate(STEPS, start=1)
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", default="")
    arguments = parser.parse_args()
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor != "postgresql":
        sys.exit("Set DATABASE_URL to a PostgreSQL database of its own for this.")
    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    seed(arguments.records)
    figures = measure(arguments.rounds)
    report(figures)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


# --- Seeding --------------------------------------------------------------------------------------


def seed(records: int) -> None:
    from django.db import connection

    from accounts.models import Membership, Team, User
    from jobs.models import Job, Record
    from projects.models import Contact, Pipeline, PipelineVersion, Project

    if Record.objects.exists():
        print(f"{Record.objects.count():,} records stand already")
        return
    began = time.monotonic()
    team = Team.objects.create(name="Bench", slug="bench")
    user = User.objects.create_user("bench@example.com", name="Bench")
    Membership.objects.create(team=team, user=user, role="operator")
    project = Project.objects.create(team=team, name="Bench", slug="bench")
    for n in range(5):
        spinner = Pipeline.objects.create(
            team=team, project=project, kind="spinner", name=f"Spinner {n}", slug=f"spinner-{n}"
        )
        spinner.current_version = PipelineVersion.objects.create(
            pipeline=spinner, number=1, definition={"steps": STEPS}
        )
        spinner.save()
    runs, contacts = max(5, records // RUN_SIZE), max(1_000, records // 10)
    facts: dict[str, Any] = {
        "team": team.pk, "project": project.pk, "contacts": contacts, "runs": runs,
        "size": RUN_SIZE, "steps": json.dumps(STEPS), "journey": json.dumps(JOURNEY),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(_filled("contacts", Contact), facts)
        cursor.execute(_filled("runs", Job), facts)
        facts["first"] = Job.objects.order_by("pk").values_list("pk", flat=True)[0]
        facts["first_contact"] = Contact.objects.order_by("pk").values_list("pk", flat=True)[0]
        for start in range(0, runs, 5):
            slice_ = {"from": facts["first"] + start, "to": facts["first"] + start + 4}
            cursor.execute(_filled("records", Record), {**facts, **slice_})
            print(f"\r{min(start + 5, runs) * RUN_SIZE:,} records", end="", flush=True)
        cursor.execute("VACUUM ANALYZE jobs_record")
        cursor.execute("VACUUM ANALYZE jobs_job")
        cursor.execute("VACUUM ANALYZE projects_contact")
    print(f"\rseeded {runs * RUN_SIZE:,} records in {time.monotonic() - began:.0f} s")


def _filled(name: str, model: Any) -> str:
    """The statement with the model's other required columns at their defaults."""
    statement = STATEMENTS[name]
    columns, values = "", ""
    for field in model._meta.concrete_fields:
        known = f"{field.column}," in statement or f"{field.column}{{" in statement
        known = known or f" {field.column}\n" in statement or f'"{field.column}"' in statement
        if known or field.null or field.primary_key or "{extra_columns}" not in statement:
            continue
        default = field.get_default()
        shown = "''" if default in ("", None) else f"'{json.dumps(default)}'"
        columns += f', "{field.column}"'
        values += f", {shown}"
    return statement.replace("{extra_columns}", columns).replace("{extra_values}", values)


# --- Measuring ------------------------------------------------------------------------------------


def pages() -> list[tuple[str, str, dict[str, Any]]]:
    from jobs.models import Job, Record
    from projects.models import Contact, Pipeline

    middle = Record.objects.order_by("pk").values_list("pk", flat=True)
    low, high = middle.first(), Record.objects.order_by("-pk").values_list("pk", flat=True)[0]
    run = Job.objects.order_by("pk").values_list("pk", flat=True)[0]
    oldest = Pipeline.objects.order_by("pk").values_list("pk", flat=True)[0]
    contact = Contact.objects.order_by("pk").values_list("email", flat=True)[500]
    deep = low + (high - low) // 20
    return [
        ("records: first page", "records", {}),
        ("records: deep page (95 %)", "records", {"after": deep}),
        ("records: spinner", "records", {"spinner": oldest}),
        ("records: spinner, deep", "records", {"spinner": oldest, "after": deep}),
        ("records: oldest run", "records", {"run": run}),
        ("records: failed", "records", {"status": "failed"}),
        ("records: unprocessed, deep", "records", {"status": "unprocessed", "after": deep}),
        ("records: common outcome", "records", {"outcome": "outcome_1"}),
        ("records: rare outcome", "records", {"outcome": "rare"}),
        ("records: common cause", "records", {"cause": "cause 3"}),
        ("records: rare cause", "records", {"cause": "a rare cause"}),
        ("records: contact", "records", {"contact": contact}),
        ("records: stopped at step 3", "records", {"step": 3}),
        ("records: ended before …", "records", {"ended_to": "2026-11-24T12:00"}),
        ("records: failed of a spinner", "records", {"status": "failed", "spinner": oldest}),
        ("failures by cause", "failures", {}),
        ("failures by cause, one run", "failures", {"run": run}),
        ("uncertain", "uncertain", {}),
        ("waiting", "approvals", {}),
        ("runs and first records", "runs", {}),
        ("a run's deep page", "runs", {"run": run, "after": RUN_SIZE * 9 // 10}),
        ("a run's failed at step 3", "runs", {"run": run, "step": 3, "at": "failed"}),
        ("a run's passed step 3, deep", "runs",
         {"run": run, "step": 3, "at": "passed", "after": RUN_SIZE * 9 // 10}),
        ("a journey", "record", {"record": deep}),
    ]  # fmt: skip


def measure(rounds: int) -> list[dict[str, Any]]:
    from django.db import connection, reset_queries
    from django.test import Client
    from django.urls import reverse

    from accounts.models import User

    client = Client()
    client.force_login(User.objects.get(email="bench@example.com"))
    figures = []
    for label, name, query in pages():
        own = [key for key in ("run", "record") if name in ("runs", "record") and key in query]
        arguments = ["bench", *(query.pop(key) for key in own)]
        url = reverse(f"jobs:{name}", args=arguments, query=query or None)
        connection.force_debug_cursor = True
        reset_queries()
        status = client.get(url).status_code
        assert status == 200, (label, status)
        queries = [q for q in connection.queries if _reads(q["sql"])]
        connection.force_debug_cursor = False
        slowest = max(queries, key=lambda q: float(q["time"]))
        figures.append({
            "page": label, "queries": len(queries),
            "page_ms": _median(lambda url=url: client.get(url), rounds),
            "sql_ms": _median(lambda sql=slowest["sql"]: _run(sql), rounds),
            "all_sql_ms": _median(
                lambda found=queries: [_run(q["sql"]) for q in found], rounds
            ),
            "sql": slowest["sql"],
        })  # fmt: skip
    return figures


def _reads(sql: str) -> bool:
    return sql.lstrip().upper().startswith(("SELECT", "WITH"))


def _run(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.cursor.execute(sql)
        cursor.fetchall()


def _median(act: Callable[[], Any], rounds: int) -> float:
    times = []
    act()
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 2)


def report(figures: list[dict[str, Any]]) -> None:
    print(f"{'page':34} {'page ms':>9} {'all SQL':>9} {'slowest':>9} {'queries':>8}")
    for row in figures:
        print(
            f"{row['page']:34} {row['page_ms']:9.1f} {row['all_sql_ms']:9.1f}"
            f" {row['sql_ms']:9.2f} {row['queries']:8}"
        )


if __name__ == "__main__":
    main()
