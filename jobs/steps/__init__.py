"""Steps: how each kind is run (projects/steps/ says how each is described and checked)."""

from jobs.steps.compile import compile_step

__all__ = ["compile_step"]
