"""Bulk cancel and resend: the confirmation, and the record of what is being done."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.generic import ListView, TemplateView

from accounts.permissions import Right
from jobs import bulk_actions
from jobs.bulk_actions import MOST_TICKED, chosen_jobs, forecast
from jobs.execution.dispatch import Refused
from jobs.filtersets.jobs import JobFilterSet
from jobs.models import BulkAction, Worker
from jobs.models.bulk import BulkKind
from jobs.statuses import Effort
from jobs.views.scope import TeamsScopeMixin

FILTER_PREFIX = "f."
ACTIONS_A_PAGE = 50
ACTIONS_LOOKED_AT = 300


@method_decorator(never_cache, name="dispatch")
class BulkConfirmView(TeamsScopeMixin, TemplateView):
    """GET counts again and says what will happen; POST begins it."""

    template_name = "jobs/bulk_confirm.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        if request.user.is_authenticated and not self.teams_with(Right.OPERATE):
            raise PermissionDenied("This needs the role Operator or higher. Ask a team admin.")
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    @property
    def kind(self) -> str:
        kind = self.sent.get("action", "")
        if kind not in BulkKind.values:
            raise Http404("Not found.")
        return kind

    @property
    def sent(self) -> QueryDict:
        return self.request.POST if self.request.method == "POST" else self.request.GET

    @property
    def selection(self) -> dict[str, Any]:
        if self.sent.get("all"):
            query = QueryDict(mutable=True)
            for key in self.sent:
                name = key.removeprefix(FILTER_PREFIX)
                if key.startswith(FILTER_PREFIX) and name in JobFilterSet.base_filters:
                    query[name] = str(self.sent[key])
            return {"filter": query.urlencode()}
        ids = [int(value) for value in self.sent.getlist("job") if value.isdecimal()]
        return {"ids": ids[:MOST_TICKED]}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        selection = self.selection
        chosen = chosen_jobs(self.team_ids, selection)
        is_filter = "filter" in selection
        filters_on = JobFilterSet(QueryDict(selection["filter"])).active() if is_filter else []
        return super().get_context_data(
            kind=self.kind,
            forecast=forecast(
                self.kind, chosen, self.teams_with(Right.OPERATE), is_named=not is_filter
            ),
            selection=selection,
            filters_on=filters_on,
            carried=[(k, v) for k, v in self.sent.items() if k.startswith(FILTER_PREFIX)],
            back_url=self._back(selection),
            launch_key=uuid.uuid4().hex,
            efforts=Effort.choices,
            **kwargs,
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        effort = request.POST.get("effort", "")
        try:
            action = bulk_actions.start(
                self.kind, self.actor, team_ids=self.team_ids, selection=self.selection,
                launch_key=f"bulk-{request.user.pk}-{request.POST.get('launch_key', '')[:32]}",
                effort=effort if effort in Effort.values else "",
            )  # fmt: skip
        except Refused as refusal:
            messages.warning(request, str(refusal))
            return HttpResponseRedirect(self._back(self.selection))
        return HttpResponseRedirect(action.get_absolute_url())

    def _back(self, selection: dict[str, Any]) -> str:
        query = QueryDict(mutable=True)
        for key in self.sent:
            if key.startswith(FILTER_PREFIX) and self.sent[key]:
                query[key.removeprefix(FILTER_PREFIX)] = str(self.sent[key])
        url = reverse("jobs:list")
        return f"{url}?{query.urlencode()}" if query else url


class BulkActionMixin(TeamsScopeMixin):
    """An action is seen by its actor, and by whoever is in all of its teams."""

    def find(self) -> BulkAction:
        action = BulkAction.objects.filter(pk=self.kwargs["pk"]).first()  # type: ignore[attr-defined]
        if action is None or not self._may_see(action):
            raise Http404("Not found.")
        return action

    def _may_see(self, action: BulkAction) -> bool:
        shared = set(action.team_ids) & set(self.roles)
        is_own = action.actor_id == self.request.user.pk
        return bool(shared) and (is_own or shared == set(action.team_ids))


class BulkActionView(BulkActionMixin, TemplateView):
    template_name = "jobs/bulk_action.html"

    def get_template_names(self) -> list[str]:
        htmx = self.request.htmx  # type: ignore[attr-defined]
        return ["jobs/_bulk_progress.html"] if htmx else [self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        action = self.find()
        reasons = (
            action.items.exclude(skipped_reason="")  # type: ignore[attr-defined]
            .order_by().values_list("skipped_reason").annotate(count=Count("pk"))
            .order_by("-count")[:20]
        )  # fmt: skip
        query = action.selection.get("filter")
        return super().get_context_data(
            action=action,
            reasons=list(reasons),
            filters_on=JobFilterSet(QueryDict(query)).active() if query is not None else [],
            is_filter=query is not None,
            is_without_worker=action.is_open and not Worker.objects.up().exists(),
            list_url=f"{reverse('jobs:list')}?bulk={action.pk}",
            can_abort=(action.is_open and action.actor_id == self.request.user.pk)
            or (action.is_open and bool(self.teams_with(Right.ADMINISTER))),
            **kwargs,
        )


class BulkAbortView(BulkActionMixin, View):
    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        action = self.find()
        is_admin = set(action.team_ids) <= set(self.teams_with(Right.ADMINISTER))
        if action.actor_id != request.user.pk and not is_admin:
            raise PermissionDenied("Only who started it, or a team admin, may stop it.")
        action = bulk_actions.abort(action, self.actor)
        messages.success(request, "It stops before its next job; what was done stays done.")
        return HttpResponseRedirect(action.get_absolute_url())


class BulkActionListView(BulkActionMixin, ListView):
    """The user's own bulk actions and those in their teams, newest first."""

    template_name = "jobs/bulk_list.html"
    context_object_name = "actions"

    def get_queryset(self) -> list[BulkAction]:  # type: ignore[override]
        """Of others' the newest few hundred are looked at: whose teams they touched is a list."""
        own = BulkAction.objects.filter(actor_id=self.request.user.pk)[:ACTIONS_A_PAGE]
        recent = BulkAction.objects.all()[:ACTIONS_LOOKED_AT]
        found = {action.pk: action for action in [*own, *recent] if self._may_see(action)}
        return [found[pk] for pk in sorted(found, reverse=True)[:ACTIONS_A_PAGE]]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        rows = [(action, _selection_words(action)) for action in context["actions"]]
        return {**context, "rows": rows}


def _selection_words(action: BulkAction) -> str:
    """ "all matching status “Failed”", "all jobs", "ticked jobs"."""
    query = action.selection.get("filter")
    if query is None:
        return "ticked jobs"
    filters = [
        f"{label.lower()} “{value}”" for _, label, value in JobFilterSet(QueryDict(query)).active()
    ]
    return f"all matching {', '.join(filters)}" if filters else "all jobs"
