#!/usr/bin/env python
"""Spindle's command line: `uv run manage.py up` starts the portal."""

import os
import sys

ROLES = {"web", "worker", "beat"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        os.environ["SPINDLE_ROLE"] = sys.argv[1]
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Spindle cannot start. {error}")


if __name__ == "__main__":
    main()
