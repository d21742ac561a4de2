"""The demo's published workflows: one for each kind of work an agent does."""

from accounts.models import Team
from accounts.permissions import Actor


def make(team: Team, actor: Actor) -> None:
    """Called once, while the demo is made."""
