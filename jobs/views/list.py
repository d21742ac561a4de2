"""The Jobs page: all jobs of all the user's teams."""

import hashlib
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.filtersets.jobs import LONGEST_SEARCH, OPPOSITES, JobFilterSet
from jobs.live.first_paint import active_state
from jobs.models import Job, ListedJob
from jobs.querysets.jobs import JobQuerySet, distinct_values
from jobs.querysets.keyset import COUNT_CAP, KeysetPage, capped_count, page_of
from jobs.querysets.plain import (
    PlainFilters,
    columns_of,
    exact_rows,
    listed,
    looked_up,
    page_of_team,
    rows_by_id,
    running_of_team,
)
from jobs.rows import rows_of, title_case
from jobs.statuses import JobStatus
from jobs.views.fragments import FragmentMixin
from jobs.views.scope import TeamsScopeMixin

PAGE_SIZE = 50
MOST_PATCHED = 200
NEW_CAP = 99
CURSORS = ("after", "before")
TABS = [
    ("", "All"),
    *((status, label) for status, label in JobStatus.choices if status != "pending"),
]
# A count beyond the cap stays beyond it, and one of some thousands changes little; how often
# they are counted again.
CAPPED_FOR_SECONDS = 60
LARGE = 1_000
LARGE_FOR_SECONDS = 5
OPTIONS_FOR_SECONDS = 15


class JobSelectionMixin(TeamsScopeMixin):
    """The jobs that the address names: scope, filters, exact matches."""

    @cached_property
    def filterset(self) -> JobFilterSet:
        return JobFilterSet(self.request.GET, queryset=Job.objects.none())

    @cached_property
    def plain(self) -> list[tuple[int, PlainFilters]] | None:
        """Each team with its filters, where statements built once can read them."""
        if (filters := self.filterset.plain()) is None:
            return None
        return [(team, looked_up(team, filters)) for team in self.team_ids]

    @cached_property
    def filtered(self) -> list[JobQuerySet]:
        """One queryset a team: each reads its team's index in order, whatever the others hold."""
        return [
            self.filterset.apply(Job.objects.filter(team_id=team), team_id=team)
            for team in self.team_ids
        ]


class JobListView(FragmentMixin, JobSelectionMixin, TemplateView):
    template_name = "jobs/job_list.html"
    fragments = {"older-jobs": "jobs/_job_rows.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        params = self.request.GET
        page = self._read(params)
        exact = self._exact(params)
        exact_ids = {job.id for job in exact}
        now = timezone.now()
        context = {
            "rows": rows_of([job for job in page.rows if job.id not in exact_ids], self.roles, now),
            "page": page,
            "carry": carried(params),
            "here": kept(params),
            "query": kept(params, drop=CURSORS),
            "now_ms": round(now.timestamp() * 1000),
            "can_operate": bool(self.teams_with(Right.OPERATE)),
            "list_url": reverse("jobs:list"),
            **kwargs,
        }
        if self.get_template_names() != [self.template_name]:
            return super().get_context_data(**context)
        return super().get_context_data(**context, **self._around(params, page, exact, now))

    def _read(self, params: QueryDict) -> KeysetPage[ListedJob]:
        if self.plain is not None and not params.get("before"):
            after = params.get("after", "")
            return merged([page_of_team(*each, after, PAGE_SIZE) for each in self.plain], params)
        # The keys come first: they stand in the filter's index.
        keyed = [
            page_of(keys.values_list("id", named=True), ["-id"], params, size=PAGE_SIZE)  # type: ignore[arg-type]
            for keys in self.filtered
        ]
        page = merged(keyed, params)
        rows = rows_by_id([key.id for key in page.rows])
        return KeysetPage(rows, page.after, page.before)

    def _exact(self, params: QueryDict) -> list[ListedJob]:
        """Jobs whose key or id was typed in full come first whatever the other filters (J9)."""
        text = params.get("ticket", "").strip()
        return exact_rows(self.team_ids, text) if 0 < len(text) <= LONGEST_SEARCH else []

    def _around(  # type: ignore[no-untyped-def]
        self, params: QueryDict, page: KeysetPage[ListedJob], exact: list[ListedJob], now
    ) -> dict[str, Any]:
        filterset = self.filterset
        on = filterset.active()
        status = params.get("status", "")
        return {
            "filterset": filterset,
            "exact_rows": rows_of(exact, self.roles, now) if exact else [],
            "tabs": [
                {
                    "label": label, "is_current": status == value,
                    "url": kept(params, drop=(*CURSORS, "status"), status=value),
                    "running": self._running() if value == "running" else 0,
                }
                for value, label in TABS
            ],
            "job_count": self._count(params, page),
            "count_cap": COUNT_CAP,
            "workflows": self._options("workflow_slug", params.get("workflow", "")),
            "agents": self._options("agent_name", params.get("agent", "")),
            "filters_on": [
                {"name": name, "label": label, "value": value,
                 "url": kept(params, drop=(*CURSORS, name)), "opposite": opposite(params, name)}
                for name, label, value in on
            ],
            "extra_filters": [
                (name, params[name]) for name in filterset.filters
                if name not in {"ticket", "workflow", "agent"} and params.get(name)
            ],
            "only_status": {name for name, _, _ in on} <= {"status"},
            "status_word": dict(TABS).get(status, status).lower() if status else "",
            "newest_id": max([job.pk for job in [*page.rows, *exact]], default=0),
        }  # fmt: skip

    def _running(self) -> int:
        """Obeys the other filters (J11); the index of active jobs keeps it small, and without
        other filters the indicator has counted them already.
        """
        in_all = int(active_state(self.request)["totals"]["running"])
        if not in_all or set(self.filterset.filters) <= {"status"}:
            return in_all
        if self.plain is not None:
            return sum(running_of_team(*each) for each in self.plain)
        if "status" not in self.filterset.filters:
            return sum(capped_count(queryset.running()) for queryset in self.filtered)
        return sum(
            capped_count(
                self.filterset.apply(
                    Job.objects.filter(team_id=team).running(), without={"status"}, team_id=team
                )
            )
            for team in self.team_ids
        )

    def _count(self, params: QueryDict, page: KeysetPage[ListedJob]) -> int:
        if not (page.after or page.before):
            return len(page.rows)
        asked = f"{self.team_ids}{kept(params, drop=CURSORS)}"
        key = f"job-count:{hashlib.sha256(asked.encode()).hexdigest()}"
        if known := cache.get(key):
            return int(known)
        count = sum(capped_count(queryset, ["-id"]) for queryset in self.filtered)
        if count > LARGE:
            cache.set(key, count, CAPPED_FOR_SECONDS if count > COUNT_CAP else LARGE_FOR_SECONDS)
        return count

    def _options(self, column: str, chosen: str) -> SafeString:
        """An <option> for each value that exists; for the chosen one even if none has it."""
        values = {chosen} if chosen else set()
        for team in self.team_ids:
            key = f"job-values:{team}:{column}"
            found = cache.get(key)
            if found is None:
                found = distinct_values(team, column)
                cache.set(key, found, OPTIONS_FOR_SECONDS if len(found) > 1 else 1)
            values.update(found)
        name = title_case if column == "workflow_slug" else str
        return SafeString(
            "\n".join([_option(value, name(value), chosen) for value in sorted(values)])
        )


def _option(value: str, name: str, chosen: str) -> str:
    selected = " selected" if value == chosen else ""
    return f'<option value="{escape(value)}"{selected}>{escape(name)}</option>'


class JobUpdatesView(JobSelectionMixin, TemplateView):
    """The rows named by `rows=1,2,3` as they stand now, and how many jobs are newer than `newest`.

    Asked by the page after a message from the socket; it polls nothing.
    """

    template_name = "jobs/_job_updates.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        params = self.request.GET
        jobs = self.jobs.filter(pk__in=ids_in(params.get("rows", "")))
        newest = params.get("newest", "")
        return super().get_context_data(
            rows=rows_of(listed(columns_of(jobs)), self.roles),
            carry=carried(params),
            here=kept(params, drop=("rows", "newest")),
            new_count=self._newer(int(newest)) if newest.isdecimal() else 0,
            new_cap=NEW_CAP,
            query=kept(params, drop=(*CURSORS, "rows", "newest")),
            can_operate=bool(self.teams_with(Right.OPERATE)),
            **kwargs,
        )

    def _newer(self, newest: int) -> int:
        newer = [queryset.filter(pk__gt=newest) for queryset in self.filtered]
        return sum(capped_count(queryset, cap=NEW_CAP) for queryset in newer)


def merged(pages: list[KeysetPage[Any]], params: QueryDict) -> KeysetPage[Any]:
    """One page of the newest rows of several teams' pages."""
    if len(pages) == 1:
        return pages[0]
    rows = sorted((job for page in pages for job in page.rows), key=lambda job: -job.id)
    backwards = "after" not in params and bool(params.get("before"))
    shown = rows[-PAGE_SIZE:] if backwards else rows[:PAGE_SIZE]
    if not shown:
        return KeysetPage()
    has_more = len(rows) > len(shown)
    after = (not backwards and has_more) or any(page.after for page in pages)
    before = (backwards and has_more) or any(page.before for page in pages)
    return KeysetPage(
        rows=shown,
        after=str(shown[-1].id) if after else "",
        before=str(shown[0].id) if before else "",
    )


def kept(params: QueryDict, *, drop: tuple[str, ...] = (), **changes: str) -> str:
    """The address's query with some keys taken out and others set; "?" alone for none."""
    pairs = [
        (key, value)
        for key in params if key not in drop and key not in changes
        for value in params.getlist(key) if value
    ]  # fmt: skip
    pairs += [(key, value) for key, value in changes.items() if value]
    return f"?{urlencode(pairs)}"


def opposite(params: QueryDict, name: str) -> str:
    """The query that excludes what this key includes, or the other way round (J8); "" for others."""
    if name not in OPPOSITES:
        return ""
    changes = {OPPOSITES[name]: str(params[name])}
    return kept(params, drop=(*CURSORS, name), **changes)


def carried(params: QueryDict) -> str:
    """What a row's link takes along, so that the way back finds this list (J5)."""
    names = {key for key in params if params.get(key)} - {"rows", "newest"}
    if not names:
        return ""
    if names == {"status"}:
        return "?" + urlencode({"from_status": params["status"]})
    return "?" + urlencode({"from": kept(params, drop=("rows", "newest"))[1:]})


def ids_in(text: str) -> list[int]:
    return [int(part) for part in text.split(",")[:MOST_PATCHED] if part.isdecimal()][:MOST_PATCHED]
