"""Keyset pages and the funnel's questions, on whichever database the suite runs on."""

from django.db.models import Q
from django.utils import timezone

from jobs.models import Job, Record
from jobs.querysets.keyset import capped_count, page_of


def make_run(project, count=0, **fields):
    job = Job.objects.create(
        team=project.team, project=project, kind="spinner", workflow_slug="renewal",
        label="Renewal", name="Renewal", total_count=count, **fields,
    )  # fmt: skip
    Record.objects.bulk_create(
        Record(job=job, team=project.team, project=project, position=n, created_at=timezone.now())
        for n in range(1, count + 1)
    )
    return job


def test_pages_meet_without_gap_or_overlap_both_ways(project):
    job = make_run(project, 7)
    params, seen = {}, []
    while True:
        page = page_of(job.records.all(), ["position"], params, size=3)
        seen.append([r.position for r in page])
        if not page.after:
            break
        params = {"after": page.after}
    assert seen == [[1, 2, 3], [4, 5, 6], [7]]
    back = page_of(job.records.all(), ["position"], {"before": page.before}, size=3)
    assert [r.position for r in back] == [4, 5, 6]
    assert back.before
    assert back.after
    assert not page_of(job.records.all(), ["position"], {"before": back.before}, size=3).before


def test_pages_by_two_columns_hold_rows_of_the_same_time(project):
    job = make_run(project, 5)
    job.records.update(completed_at=timezone.now())
    order = ["-completed_at", "-id"]
    first = page_of(job.records.all(), order, {}, size=3)
    second = page_of(job.records.all(), order, {"after": first.after}, size=3)
    assert [r.position for r in (*first, *second)] == [5, 4, 3, 2, 1]


def test_branches_are_merged_in_order_both_ways(project):
    job = make_run(project, 9)
    job.records.filter(position__in=[2, 3, 7]).update(status="waiting")
    job.records.filter(position__in=[4, 9]).update(status="completed")
    open_ones = [Q(status="pending"), Q(status="waiting")]
    rows = job.records.filter(status__in=["pending", "waiting"])
    first = page_of(rows, ["position"], {}, size=4, branches=open_ones)
    second = page_of(rows, ["position"], {"after": first.after}, size=4, branches=open_ones)
    back = page_of(rows, ["position"], {"before": second.before}, size=4, branches=open_ones)
    assert [r.position for r in first] == [r.position for r in back] == [1, 2, 3, 5]
    assert [r.position for r in second] == [6, 7, 8]
    assert capped_count(rows, ["position"], branches=open_ones) == 7
    assert capped_count(rows, ["position"], branches=open_ones, cap=5) == 6


def test_a_mangled_cursor_is_the_first_page(project):
    job = make_run(project, 2)
    assert len(page_of(job.records.all(), ["position"], {"after": "x~'"})) == 2


def test_a_step_is_judged_by_its_latest_entry(project):
    """R4: the numbers of the funnel lead to exactly the records behind them."""
    job = make_run(project, 3)
    entries = {
        1: [{"step": 1, "status": "completed"}, {"step": 2, "status": "failed"}],
        2: [{"step": 2, "status": "failed"}, {"step": 2, "status": "completed"}],
        3: [{"step": 1, "status": "completed"}, {"step": 2, "status": "skipped"}],
    }
    for position, journey in entries.items():
        job.records.filter(position=position).update(journey=journey)
    found = {
        place: sorted(job.records.at_step(2, place).values_list("position", flat=True))
        for place in ("reached", "passed", "skipped")
    }
    assert found == {"reached": [1, 2], "passed": [2], "skipped": [3]}
