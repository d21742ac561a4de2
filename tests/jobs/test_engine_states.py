"""D07: whatever people and workers do, in any order, totals close and no state is left wrongly."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts.permissions import SYSTEM
from jobs.execution import claims, dispatch, sweep
from jobs.execution.dispatch import Refused
from jobs.models import Batch, Job, JobEvent, Record
from jobs.statuses import (
    ACTIVE_JOB_STATUSES,
    FINAL_JOB_STATUSES,
    FINAL_RECORD_STATUSES,
    JOB_TRANSITIONS,
    JobStatus,
)
from jobs.steps.base import Continue, EffectResult, Failed, StepInput, Uncertain
from projects.models import Contact, Pipeline, Project
from tests.jobs.engine_rig import Outside, launch, outside, work_off
from tests.jobs.test_engine_runs import recount

__all__ = ["outside"]

pytestmark = pytest.mark.django_db
STEPS = [
    {"name": "ask", "kind": "wait", "config": {"for": "approval", "prompt": "Go on?"}},
    {"name": "act", "kind": "act", "config": {}},
    {"name": "again", "kind": "act_safe", "config": {}},
    {"name": "end", "kind": "outcome", "config": {"outcome": "sent"}},
]
NUMBERS = st.integers(min_value=0, max_value=1_000)


class Machine(RuleBasedStateMachine):
    """Each example in a transaction of its own, which is taken back."""

    project: Project
    spinners: list[Pipeline]
    outside: Outside

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.chance = random.Random(0)
        self.known: dict[int, str] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    # --- What is there ------------------------------------------------------------------------

    def a_job(self, number: int) -> Job | None:
        jobs = list(Job.objects.order_by("pk"))
        return jobs[number % len(jobs)] if jobs else None

    def a_record(self, number: int, *statuses: str) -> Record | None:
        records = list(Record.objects.filter(status__in=statuses).order_by("pk"))
        return records[number % len(records)] if records else None

    def answer(self, record: StepInput, count: int) -> EffectResult:
        return self.chance.choice([
            Continue(), Continue(), Failed("No such number"), Uncertain("No reply"),
        ])  # fmt: skip

    def expect(self, verb: Callable[[], Any], *, moves: dict[str, tuple[str, ...]]) -> None:
        """Do it; jobs may only go the ways `moves` allows, and a refusal changes nothing."""
        before = dict(Job.objects.values_list("pk", "status"))
        refused = False
        try:
            with transaction.atomic():
                verb()
        except Refused:
            refused = True
        for pk, status in Job.objects.values_list("pk", "status"):
            was = before.get(pk)
            if was is None or was == status:
                continue
            assert not refused, f"a refused verb moved job {pk} from {was} to {status}"
            assert status in moves.get(was, ()), f"job {pk} went from {was} to {status}"

    # --- What people do -----------------------------------------------------------------------

    @initialize(seed=NUMBERS)
    def begin(self, seed: int) -> None:
        self.chance = random.Random(seed)  # the outside world's answers
        self.outside.answer = self.answer
        launch(self.spinners[0])

    @rule(number=NUMBERS)
    def dispatch(self, number: int) -> None:
        launch(self.spinners[number % 2])

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        job = self.a_job(number)
        if job:
            ways = dict.fromkeys(ACTIVE_JOB_STATUSES, (JobStatus.CANCELLED,))
            self.expect(lambda: dispatch.cancel(job, SYSTEM), moves=ways)

    @rule(number=NUMBERS)
    def resend(self, number: int) -> None:
        job = self.a_job(number)
        if job:
            self.expect(lambda: dispatch.resend(job, SYSTEM), moves={})
            assert Job.objects.filter(resend_of=job).count() <= 1

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        job, record = self.a_job(number), self.a_record(number, "failed", "uncertain")
        reopens: dict[str, tuple[str, ...]] = dict.fromkeys(
            ("completed", "failed", "waiting"), ("running",)
        )
        if job and number % 2:
            self.expect(lambda: dispatch.retry_failed(job, SYSTEM), moves=reopens)
        elif record:
            self.expect(lambda: dispatch.retry_record(record, SYSTEM), moves=reopens)

    @rule(number=NUMBERS, verb=st.sampled_from(["approve", "reject"]))
    def answer_wait(self, number: int, verb: str) -> None:
        record = self.a_record(number, "waiting")
        ways = {"waiting": ("running", "completed")}
        if record:
            self.expect(lambda: getattr(dispatch, verb)(record, SYSTEM), moves=ways)

    @rule(number=NUMBERS, verb=st.sampled_from(["mark_done", "give_up"]))
    def answer_uncertain(self, number: int, verb: str) -> None:
        record = self.a_record(number, "uncertain")
        ways: dict[str, tuple[str, ...]] = dict.fromkeys(
            ("completed", "failed", "waiting"), ("running",)
        )
        if record:
            self.expect(lambda: getattr(dispatch, verb)(record, SYSTEM), moves=ways)

    @rule(number=NUMBERS, status=st.sampled_from(FINAL_RECORD_STATUSES))
    def correct_record(self, number: int, status: str) -> None:
        record = self.a_record(number, *FINAL_RECORD_STATUSES)
        if record:
            self.expect(
                lambda: dispatch.correct_record(record, SYSTEM, status=status, reason="wrong"),
                moves={},
            )

    @rule(number=NUMBERS, status=st.sampled_from(FINAL_JOB_STATUSES))
    def correct_job(self, number: int, status: str) -> None:
        job = self.a_job(number)
        if job:
            self.expect(
                lambda: dispatch.correct_job(job, SYSTEM, status=status, reason="wrong"),
                moves={was: tuple(ways) for was, ways in JOB_TRANSITIONS.items()},
            )

    @rule(number=NUMBERS)
    def undo(self, number: int) -> None:
        events = list(JobEvent.objects.filter(kind__contains="correct").order_by("pk"))
        if events:
            event = events[number % len(events)]
            finals = dict.fromkeys(FINAL_JOB_STATUSES, tuple(FINAL_JOB_STATUSES))
            self.expect(lambda: dispatch.undo_correction(event, SYSTEM), moves=finals)

    @rule()
    def pause_or_resume(self) -> None:
        self.project.refresh_from_db()
        with suppress(Refused):
            if self.project.paused_at:
                dispatch.resume_project(self.project, SYSTEM)
            else:
                dispatch.pause_project(self.project, SYSTEM, reason="Lunch")

    # --- What workers do ----------------------------------------------------------------------

    @rule()
    def work(self) -> None:
        self.expect(work_off, moves=dict.fromkeys(ACTIVE_JOB_STATUSES, tuple(JobStatus)))

    @rule(number=NUMBERS)
    def lose_a_worker(self, number: int) -> None:
        """It claims a batch, one record's intent is durable, and it is not heard of again."""
        claim = claims.claim_next(f"lost:{number}")
        if claim is None:
            return
        record = Record.objects.filter(batch_id=claim.batch_id, status="pending").first()
        if record and record.next_step in (2, 3) and number % 2:
            Record.objects.filter(pk=record.pk).update(
                status="running", intent_step=record.next_step, intent_at=Now()
            )

    @rule()
    def expire(self) -> None:
        Batch.objects.filter(status="running").update(lease_expires_at=Now() - timedelta(hours=1))
        self.expect(sweep.sweep, moves=dict.fromkeys(ACTIVE_JOB_STATUSES, tuple(JobStatus)))

    # --- What always holds --------------------------------------------------------------------

    @invariant()
    def totals_close(self) -> None:
        for job in Job.objects.all():
            recount_open(job)
            assert job.remaining_count >= 0
            if job.status == JobStatus.COMPLETED:
                assert job.remaining_count == 0
            if job.is_final:
                assert not job.batches.filter(status__in=("pending", "running")).exists()
                assert job.completed_at


def recount_open(job: Job) -> None:
    """`recount` asks that nothing is left open; here jobs are on their way."""
    if job.is_final:
        recount(job)
        return
    rows = list(job.records.values_list("status", flat=True))
    for status, column in (
        ("completed", job.done_count), ("failed", job.failed_count),
        ("skipped", job.skipped_count), ("cancelled", job.cancelled_count),
        ("uncertain", job.uncertain_count), ("waiting", job.waiting_count),
    ):  # fmt: skip
        assert rows.count(status) == column, (status, job.counts())


def test_any_order_of_verbs_leaves_sound_states(
    project: Project,
    make_contacts: Callable[..., list[Contact]],
    make_spinner: Callable[..., Pipeline],
    outside: Outside,
) -> None:
    make_contacts(2)
    Machine.project, Machine.outside = project, outside
    Machine.spinners = [make_spinner(STEPS), make_spinner(STEPS[1:], slug="no-gate")]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, derandomize=True,
            database=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
