"""Why a pipeline's verb would not act, in words for the person who asked."""

from collections.abc import Sequence

from projects.steps.validation import Problem


class PipelineRefused(Exception):
    """`code` is for programs, the message for people, `problems` name step and field.

    Codes: NAME_MISSING, NOT_A_PIPELINE, DRAFT_CHANGED, UNCHANGED, INVALID, ARCHIVED, NOT_A_FILE.
    """

    def __init__(self, message: str, *, code: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.problems = list(problems)

    def __str__(self) -> str:
        return self.message
