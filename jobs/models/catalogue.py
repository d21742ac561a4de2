"""The catalogue of job types (SPEC section 5), seeded by a migration, edited in the admin."""

from django.db import models


class JobType(models.Model):
    """`label` may hold `{short_id}`; typical lengths are in seconds, empty where unknown."""

    slug = models.SlugField(max_length=64, unique=True)
    mode = models.CharField(max_length=40)
    label = models.CharField(max_length=120)
    agent_label = models.CharField(max_length=120, blank=True)
    trigger = models.CharField(max_length=200, blank=True)
    typical_min_seconds = models.PositiveIntegerField(null=True, blank=True)
    typical_max_seconds = models.PositiveIntegerField(null=True, blank=True)
    is_coding_task = models.BooleanField(default=False, help_text="Shown with a short id.")

    class Meta:
        ordering = ["mode", "pk"]

    def __str__(self) -> str:
        return self.label
