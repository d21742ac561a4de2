"""Runs of the engine beside a tuned Celery task per contact, in turn, on one database.

    DATABASE_URL=postgresql://… CELERY_BROKER_URL=redis://… uv run python bench/run_spinner.py

W0: four pure steps. W: one of the four is a POST answered after 20 ms. Prints records a second,
the ratio, CPU seconds and peak memory of the workers. `--start` measures how soon a large run
answers and begins; `--memory` a worker's peak at two sizes. Uses the database it is given: take an
empty one.
"""

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("SPINDLE_LOG_LEVEL", "WARNING")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.models import Team  # noqa: E402
from accounts.permissions import SYSTEM  # noqa: E402
from jobs.execution.dispatch import dispatch_spinner  # noqa: E402
from jobs.execution.selection import Selection  # noqa: E402
from projects.models import (  # noqa: E402
    Contact,
    Pipeline,
    PipelineVersion,
    Project,
)

TICK = os.sysconf("SC_CLK_TCK")


def steps(url: str) -> list[dict]:
    second = {
        "name": "send", "kind": "http",
        "config": {
            "method": "POST", "url": url, "body_type": "json", "repeat": "key", "concurrency": 100,
            "body": '{"to": "{{ contact.email }}", "text": "{{ values.message }}"}',
        },
    }  # fmt: skip
    if not url:
        second = {
            "name": "subject", "kind": "template",
            "config": {"field": "subject", "template": "{{ values.message | upcase }}"},
        }  # fmt: skip
    return [
        {"name": "compose", "kind": "template",
         "config": {"field": "message",
                    "template": "Hi {{ contact.name }}, your plan is {{ contact.plan }}."}},
        second,
        {"name": "measure", "kind": "set",
         "config": {"fields": [{"name": "length", "template": "{{ values.message | size }}"}]}},
        {"name": "end", "kind": "outcome", "config": {"outcome": "sent"}},
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def peak_mb(pid: int) -> float:
    """The largest peak of any process of the family."""
    peaks = [0.0]
    for member in family(pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{member}/status").read_text()
            peaks.append(int(text.partition("VmHWM:")[2].split()[0]) / 1024)
    return max(peaks)


def prepare(contacts: int) -> Project:
    team, _ = Team.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    project, _ = Project.objects.get_or_create(
        slug="bench", defaults={"name": "Bench", "team": team}
    )
    have = project.contacts.count()
    Contact.objects.bulk_create(
        (
            Contact(project=project, external_id=f"b-{n}", name=f"Contact {n}",
                    email=f"c{n}@example.com", attributes={"plan": "pro"})
            for n in range(have, contacts)
        ),
        batch_size=5_000,
    )  # fmt: skip
    return project


def spinner(project: Project, url: str) -> Pipeline:
    slug = "bench-w" if url else "bench-w0"
    pipeline, _ = Pipeline.objects.get_or_create(
        project=project, slug=slug,
        defaults={"team": project.team, "kind": "spinner", "name": slug},
    )  # fmt: skip
    number = pipeline.versions.count() + 1
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=number, definition={"steps": steps(url)}
    )
    pipeline.save(update_fields=["current_version"])
    return pipeline


def select(project: Project, count: int) -> Selection:
    if count >= project.contacts.count():
        return Selection()
    return Selection(
        kind="ids", ids=list(project.contacts.order_by("pk").values_list("pk", flat=True)[:count])
    )


def worker_command(workers: int) -> list[str]:
    return [
        sys.executable, "-m", "celery", "-A", "config", "worker", "-c", str(workers),
        "--without-gossip", "--without-mingle", "-l", "warning",
    ]  # fmt: skip


def wait_for_worker() -> None:
    from jobs.models import Worker

    deadline = time.monotonic() + 60
    while not Worker.objects.exists():
        assert time.monotonic() < deadline, "no worker came up"
        time.sleep(0.1)


def run_engine(pipeline: Pipeline, selection: Selection, pid: int) -> dict[str, float]:
    cpu, began = cpu_seconds(pid), time.monotonic()
    job = dispatch_spinner(pipeline, SYSTEM, selection=selection)
    answered = time.monotonic() - began
    first = 0.0
    while True:
        # Asked seldom and shortly: the machine's two processors are the workers'.
        job.refresh_from_db(fields=["status", "done_count"])
        if not first and job.done_count:
            first = time.monotonic() - began
        if job.is_final:
            break
        time.sleep(0.02 if not first else 0.1)
    seconds = time.monotonic() - began
    job.refresh_from_db()
    assert job.done_count == job.total_count, job.counts()
    return {
        "rate": job.total_count / seconds, "seconds": seconds, "answered": answered,
        "first": first, "cpu": cpu_seconds(pid) - cpu, "peak_mb": peak_mb(pid), "job": job.pk,
    }  # fmt: skip


def run_baseline(count: int, url: str, broker: str, workers: int) -> dict[str, float]:
    from bench import celery_baseline as baseline

    with connection.cursor() as cursor:
        cursor.execute(baseline.SCHEMA)
        cursor.execute(
            "INSERT INTO baseline_record SELECT n, 1, 'pending', 'Contact ' || n, "
            "'c' || n || '@example.com' FROM generate_series(1, %s) n",
            [count],
        )
    command = [
        sys.executable, "-m", "celery", "-A", "bench.celery_baseline", "worker", "-P", "threads",
        "-c", "50", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "error",
    ]  # fmt: skip
    environment = {"BASELINE_BROKER": broker, "BASELINE_DATABASE": os.environ["DATABASE_URL"]}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(running(*command, "-n", f"baseline{n}@%h", **environment))
            for n in range(workers)
        ]
        baseline.contact.delay(1, url)
        _until_done(1)
        cpu, began = sum(cpu_seconds(p.pid) for p in processes), time.monotonic()
        for record in range(2, count + 1):
            baseline.contact.delay(record, url)
        _until_done(count)
        seconds = time.monotonic() - began
        return {
            "rate": (count - 1) / seconds, "seconds": seconds,
            "cpu": sum(cpu_seconds(p.pid) for p in processes) - cpu,
            "peak_mb": max(peak_mb(p.pid) for p in processes),
        }  # fmt: skip


def _until_done(count: int) -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM baseline_record WHERE status = 'completed'")
            if cursor.fetchone()[0] >= count:
                return
            time.sleep(0.05)


def show(name: str, result: dict[str, float], count: int) -> None:
    print(
        f"{name:<26}{result['rate']:>9,.0f} records/s {result['seconds']:>7.1f} s  "
        f"CPU {1000 * result['cpu'] / count:>6.2f} s per 1,000   peak {result['peak_mb']:>4.0f} MB",
        flush=True,
    )


def compare(options: argparse.Namespace, project: Project, broker: str) -> None:
    port = free_port()
    stub = stack_stub(port)
    with stub:
        url = f"http://127.0.0.1:{port}/send"
        for workload, address in (("W0", ""), ("W", url)):
            if workload not in options.workloads:
                continue
            rates: dict[str, list[float]] = {"engine": [], "baseline": []}
            for _ in range(options.rounds):
                with running(*worker_command(options.workers)) as worker:
                    wait_for_worker()
                    pipeline = spinner(project, address)
                    run_engine(pipeline, select(project, 500), worker.pid)  # warm
                    result = run_engine(pipeline, select(project, options.contacts), worker.pid)
                show(f"{workload} Spindle, {options.workers} processes", result, options.contacts)
                rates["engine"].append(result["rate"])
                if options.baseline:
                    count = options.baseline
                    result = run_baseline(count, address, broker, options.workers)
                    show(f"{workload} Celery, tuned", result, count)
                    rates["baseline"].append(result["rate"])
            engine = statistics.median(rates["engine"])
            if rates["baseline"]:
                baseline = statistics.median(rates["baseline"])
                print(f"{workload}: {engine / baseline:.1f} × the baseline ({engine:,.0f}/s)\n")


def stack_stub(port: int) -> contextlib.AbstractContextManager[subprocess.Popen]:
    return running(sys.executable, str(ROOT / "bench/stub_server.py"), str(port), "20")


def measure_start(options: argparse.Namespace) -> None:
    for count in (5_000, 100_000):
        project = prepare(count)
        with running(*worker_command(options.workers)) as worker:
            wait_for_worker()
            pipeline = spinner(project, "")
            run_engine(pipeline, select(project, 500), worker.pid)
            result = run_engine(pipeline, select(project, count), worker.pid)
        print(
            f"start of {count:>7,} contacts: answered after {result['answered'] * 1000:.0f} ms, "
            f"first record done after {result['first'] * 1000:.0f} ms, "
            f"{result['rate']:,.0f} records/s, peak {result['peak_mb']:.0f} MB a worker",
            flush=True,
        )


def measure_memory(options: argparse.Namespace) -> None:
    for count in (5_000, options.large):
        project = prepare(count)
        with running(*worker_command(options.workers)) as worker:
            wait_for_worker()
            result = run_engine(spinner(project, ""), select(project, count), worker.pid)
        print(
            f"{count:>7,} contacts: {result['rate']:,.0f} records/s, "
            f"peak {result['peak_mb']:.0f} MB a worker process",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--baseline", type=int, default=1_000, help="its records; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--workloads", nargs="*", default=["W0", "W"])
    parser.add_argument("--start", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--large", type=int, default=200_000)
    options = parser.parse_args()
    os.environ["SPINDLE_INTERNAL_HOSTS"] = "127.0.0.1"
    call_command("migrate", verbosity=0)
    if options.start:
        measure_start(options)
        return
    if options.memory:
        measure_memory(options)
        return
    broker = os.environ.setdefault("BASELINE_BROKER", str(settings.CELERY_BROKER_URL))
    os.environ.setdefault("BASELINE_DATABASE", os.environ.get("DATABASE_URL", ""))
    compare(options, prepare(options.contacts), broker)


if __name__ == "__main__":
    main()
