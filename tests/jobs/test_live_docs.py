"""What docs/live.md promises is what the code does."""

import re
from pathlib import Path

from config.settings import BASE_DIR

DOCS = (BASE_DIR / "docs" / "live.md").read_text()


def milliseconds(name: str) -> int:
    script = Path(BASE_DIR / "config/static/js/socket.js").read_text()
    found = re.search(rf"const {name} = ([\d_]+);", script)
    assert found
    return int(found[1].replace("_", ""))


def test_the_budget_of_an_idle_tab_is_the_published_number():
    """X9: the browser test counts the requests; these are the frames of an hour."""
    assert f"**{3_600_000 // milliseconds('PING_MS')}\nframes an hour**" in DOCS
    assert f"{3_600_000 // milliseconds('HIDDEN_PING_MS')} while hidden" in DOCS


def test_the_example_of_a_tracked_task_is_the_one_that_is_tested():
    source = Path(BASE_DIR / "tests/tracked_app/tasks.py").read_text()
    example = source[source.index("@shared_task") :].split("\n\n\n")[0]
    assert example in "\n".join(line.removeprefix("    ") for line in DOCS.splitlines())
    assert len(example.splitlines()) <= 10
