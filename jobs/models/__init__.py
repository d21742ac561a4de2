from jobs.models.agents import Agent, Worker
from jobs.models.batches import Batch, IntentLog
from jobs.models.bulk import BulkAction, BulkActionItem
from jobs.models.catalogue import JobType
from jobs.models.events import JobEvent, LateReport
from jobs.models.jobs import Job
from jobs.models.listed import ListedJob
from jobs.models.notices import Delivery, Follow, Notice
from jobs.models.records import Callback, Record
from jobs.models.stats import DurationRange, RecordMinute, StepCount, StepMinute

__all__ = [
    "Agent",
    "Batch",
    "BulkAction",
    "BulkActionItem",
    "Callback",
    "Delivery",
    "DurationRange",
    "Follow",
    "IntentLog",
    "Job",
    "JobEvent",
    "JobType",
    "LateReport",
    "ListedJob",
    "Notice",
    "Record",
    "RecordMinute",
    "StepCount",
    "StepMinute",
    "Worker",
]
