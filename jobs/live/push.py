"""The only code that sends to the channel layer. A failed push is logged, never fatal."""


def push_job(job_id: int) -> None:
    """Tell the job's team that it changed."""
