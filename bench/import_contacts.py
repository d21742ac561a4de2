"""Import, re-import, search and export of many contacts: seconds and peak memory.

    uv run python bench/import_contacts.py [--rows 1000000]
    DATABASE_URL=postgresql://user@host/an_empty_database uv run python bench/import_contacts.py

Without DATABASE_URL it makes a SQLite file in a temporary folder. Each step is a process of its
own, so that its peak memory is its own; searches are the median of five.
"""

import argparse
import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = [
    "Ada",
    "Bo",
    "Chidi",
    "Dana",
    "Emil",
    "Fay",
    "Gunnar",
    "Åsa",
    "Zoë",
    "Иван",
    "小明",
    "Priya",
    "Omar",
    "Lucía",
    "Jürgen",
    "Siân",
]
LAST = [
    "Park",
    "Lindqvist",
    "Okafor",
    "Ruiz",
    "Nowak",
    "Huang",
    "Öberg",
    "Petrov",
    "王",
    "Sharma",
    "Haddad",
    "Fernández",
    "Müller",
]

PREPARE = """
from accounts.models import Team
from projects.models import Project
team = Team.objects.create(name="Bench", slug="bench")
Project.objects.create(team=team, name="Bench", slug="bench")
"""

SEARCH = """
import statistics, time
from django.http import QueryDict
from projects.contacts.filtersets import filtered
from projects.contacts.paging import capped_count, page_of
from projects.models import Project
project = Project.objects.get(slug="bench")
def median(run):
    times = []
    for _ in range(5):
        began = time.perf_counter(); run(); times.append(time.perf_counter() - began)
    return f"{statistics.median(times) * 1000:8.1f} ms"
last = project.contacts.order_by("pk").first().pk
for label, text in [
    ("first page", ""), ("last page", f"after={last + 60}"),
    ("search: common word", "q=park"), ("search: one in a million", "q=user777777@"),
    ("search: no hit", "q=nobody+at+all"), ("search: two letters", "q=zq"),
    ("attribute = common", "attribute=plan&value=pro"),
    ("attribute = rare", "attribute=plan&value=none"), ("without phone", "has_phone=no"),
]:
    query = QueryDict(text)
    contacts = filtered(project, text)
    page = median(lambda: page_of(contacts, query))
    count = median(lambda: capped_count(contacts)) if text and "after" not in text else ""
    print(f"  {label:28} page {page}   count {count}")
"""

EXPORT = """
import time
from projects.contacts import exporting
from projects.models import Project
contacts = Project.objects.get(slug="bench").contacts.all()
print("  characters:", sum(len(piece) for piece in exporting.lines(contacts)))
"""


def write_file(path: Path, rows: int) -> None:
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["External ID", "Name", "E-mail", "Phone", "Plan", "City", "Renews on"])
        for n in range(rows):
            writer.writerow(
                [
                    n, f"{rng.choice(FIRST)} {rng.choice(LAST)}", f"user{n}@example.com",
                    f"+46 70 {n:07d}" if n % 9 else "", rng.choice(["pro", "free", "team"]),
                    rng.choice(["Malmö", "Lund", "Berlin", "Lagos"]), f"2027-0{n % 9 + 1}-15",
                ]
            )  # fmt: skip


def run(label: str, *command: str, env: dict[str, str]) -> None:
    """Run a manage.py command in a process of its own and print what it took."""
    before = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=env, stderr=subprocess.DEVNULL
    )
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - before
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{label:34} {seconds:8.1f} s   cpu {cpu:7.1f} s   peak {usage.ru_maxrss / 1024:6.0f} MB"
        + (f"   exit {os.waitstatus_to_exitcode(status)}" if status else ""),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "SPINDLE_DATA_DIR": folder, "SPINDLE_LOG_LEVEL": "ERROR"}
        path = Path(folder) / "contacts.csv"
        write_file(path, rows)
        store = "PostgreSQL" if env.get("DATABASE_URL", "").startswith("postgres") else "SQLite"
        print(f"{store}, {rows:,} rows, {path.stat().st_size / 1e6:.0f} MB", flush=True)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True
        )
        run("prepare", "shell", "-v0", "-c", PREPARE, env=env)
        run("import", "import_contacts", "bench", str(path), env=env)
        run("the same again", "import_contacts", "bench", str(path), env=env)
        changed = path.read_text(encoding="utf-8").replace(",pro,", ",gold,")
        path.write_text(changed, encoding="utf-8")
        del changed
        run("a third of them changed", "import_contacts", "bench", str(path), env=env)
        run("export", "shell", "-v0", "-c", EXPORT, env=env)
        run("searches", "shell", "-v0", "-c", SEARCH, env=env)
    print(
        f"peak of any child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
