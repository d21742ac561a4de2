"""The shape of the code (docs/architecture.md): who imports whom, and what stands in one place only."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("accounts", "projects", "jobs")  # each may import those before it
LONGEST_MODULE = 400
# What workers do, and what holds leases and due times.
OF_WORKERS = (
    "jobs/execution/", "jobs/steps/", "jobs/notices/delivery", "jobs/notices/making",
    "jobs/events.py", "jobs/tracked.py", "jobs/bulk_actions.py",
)  # fmt: skip

# Through these everything else enters jobs/execution; what they write, they write as a verb.
DOORS = {
    "dispatch": "the verbs",
    "remote": "the verbs of remote agents",
    "errors": "what a verb answers when it will not act",
    "selection": "which contacts a run takes",
    "forecast": "what a run would cost",
    "plan": "what is left of the month's plan; only launches and the sweep charge it",
    "broker": "whether the broker answers; reads only",
    "counting": "a job's counters in words",
}
# Celery's functions are the engine's own entrance: each loads by id and calls one of its parts.
ENTRANCE = "jobs/tasks.py"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the three apps without migrations: {"jobs/tasks.py": its tree}."""
    paths = (path for app in APPS for path in sorted((ROOT / app).rglob("*.py")))
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
        for path in paths
        if "migrations" not in path.parts
    }


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names, wherever in the module they are imported; of `from a import b`, "a.b"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports hide who imports whom"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(folder: str) -> Iterator[tuple[str, str]]:
    for path, tree in modules().items():
        if path.startswith(folder):
            yield from ((path, name) for name in imports(tree))


def test_imports_point_from_jobs_over_projects_to_accounts() -> None:
    wrong = [
        (path, name)
        for number, app in enumerate(APPS)
        for path, name in imports_of(f"{app}/")
        if name.split(".")[0] in APPS[number + 1 :]
    ]
    assert not wrong


def test_the_engine_imports_nothing_that_faces_people() -> None:
    """`projects.contacts.filtersets` is the one exception: a run takes what the list shows."""
    facing = re.compile(
        r"^(?:accounts|projects|jobs)\.(?:.*\.)?(?:views|forms|api|admin|templatetags|filtersets"
        r"|live)\b|^django\.(?:template|shortcuts|forms|views)\b|^channels\b|^rest_framework\b"
    )
    wrong = {(path, name) for path, name in imports_of("jobs/execution/") if facing.match(name)}
    assert wrong == {("jobs/execution/selection.py", "projects.contacts.filtersets.filtered")}


def test_the_engine_is_entered_by_its_doors_only() -> None:
    wrong = [
        (path, name)
        for path, name in imports_of("")
        if name.startswith("jobs.execution.")
        and not path.startswith("jobs/execution/")
        and path != ENTRANCE
        and name.split(".")[2] not in DOORS
    ]
    assert not wrong


def test_only_push_sends_to_the_channel_layer() -> None:
    sending = {
        path
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "group_send"
    }
    assert sending == {"jobs/live/push.py"}


def test_only_set_wise_writes_ask_which_database_it_is() -> None:
    """Besides them one query expression, by Django's own `as_sqlite`: how JSON is looked into."""
    asking = {
        path
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.FunctionDef) and node.name in {"as_sqlite", "as_postgresql"})
        or (isinstance(node, ast.Attribute) and node.attr in {"vendor", "features"})
    }
    assert asking == {"jobs/execution/bulk.py", "jobs/querysets/journeys.py"}


def test_the_engine_never_asks_the_clock_of_its_own_process() -> None:
    """F11: it may be minutes off. The database's: `Now()` in a statement, else `clock.now()`."""
    own = {("timezone", "now"), ("datetime", "now"), ("datetime", "utcnow"), ("time", "time")}
    asking = {
        path
        for path, tree in modules().items()
        if path.startswith(OF_WORKERS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in own
    }
    assert not asking


def test_only_one_module_writes_csv_files() -> None:
    writing = {
        path
        for path, tree in modules().items()
        if "csv" in set(imports(tree)) and ".writer(" in (ROOT / path).read_text()
    }
    assert writing == {"projects/contacts/csv_writing.py"}


def names_a_role(node: ast.expr) -> bool:
    """`Role.ADMIN`; a role's attribute beside another is how "unchanged" is asked."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Role"
    )


def test_roles_are_compared_in_permissions_only() -> None:
    comparing = {
        path
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(names_a_role(side) for side in (node.left, *node.comparators))
    }
    assert comparing <= {"accounts/permissions.py"}


def test_templates_compare_no_role() -> None:
    """They are given flags: `can_operate`, `can_build`, `can_administer`."""
    rule = re.compile(r"\{%\s*(?:el)?if[^%]*\brole\s*(?:==|!=|in\b)")
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "templates").rglob("*.html")
        if rule.search(path.read_text())
    ]
    assert not wrong


def test_no_module_is_too_long() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text().count("\n")
        for folder in (*APPS, "config", "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
    }
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE}
