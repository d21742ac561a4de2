from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ProjectsConfig(AppConfig):
    name = "projects"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Kinds of step that a team's own apps bring (docs/steps.md, "Steps in Python").
        autodiscover_modules("spindle_steps")
