"""The admin of jobs: data correction by staff, always through the portal's own verbs."""

from jobs.admin import catalogue, history, jobs, notices, records

__all__ = ["catalogue", "history", "jobs", "notices", "records"]
