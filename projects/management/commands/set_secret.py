"""Set a team's secret from standard input, so that it stands in no shell history."""

import sys
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Team
from accounts.permissions import Actor
from projects.secrets import set_secret


class Command(BaseCommand):
    help = "Set a secret: printf %s VALUE | manage.py set_secret TEAM NAME"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("team", help="the team's slug")
        parser.add_argument("name", help="the name steps use: secrets.NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']!r}.")
        value = sys.stdin.read().rstrip("\r\n")
        try:
            set_secret(team, options["name"], value, Actor(name="Command line"))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except ValueError as error:
            raise CommandError(f"{error} Give the value on standard input.") from None
        self.stdout.write(f"Secret {options['name']} of {team.name} is set.")
