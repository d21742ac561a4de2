"""The README keeps its word: CI runs its command, its pictures and links are there."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGES = sorted(chain(ROOT.glob("*.md"), ROOT.glob("docs/*.md"), ROOT.glob("deploy/*.md")))
LINK = re.compile(r"\]\(([^)\s]+)\)")
FIRST_SCREEN = 15  # lines
COMMAND = (
    # A distribution's own Python refuses pip without the variable; its folder is not on every path.
    "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install uv && python3 -m uv run manage.py {}"
)


@pytest.mark.parametrize("command", ["up", "gate"])
def test_the_commands_stand_on_the_first_screen(command: str) -> None:
    beginning = (ROOT / "README.md").read_text().splitlines()[:FIRST_SCREEN]
    assert "    " + COMMAND.format(command) in beginning


def test_ci_runs_the_readmes_own_command() -> None:
    assert COMMAND.format("gate") in (ROOT / ".ci/run").read_text().splitlines()


def targets(page: Path) -> Iterator[Path]:
    for target in LINK.findall(page.read_text()):
        if ":" not in target and not target.startswith("#"):
            yield page.parent / target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    assert [str(target) for target in targets(page) if not target.exists()] == []
