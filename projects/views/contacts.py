"""The list of a project's contacts, and what one does with many of them at once."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from projects.contacts import verbs
from projects.contacts.filtersets import ContactFilterSet, clean_querystring, filtered
from projects.contacts.forms import SavedFilterForm, TagForm
from projects.contacts.paging import capped_count, page_of
from projects.models import Contact, Project
from projects.views.access import ProjectAccessMixin

SAMPLE_FOR_ATTRIBUTES = 100


class ContactListView(ProjectAccessMixin, TemplateView):
    template_name = "projects/contact_list.html"

    @property
    def is_fragment(self) -> bool:
        htmx = getattr(self.request, "htmx", None)
        return bool(htmx and htmx.target == "contact-list")

    def get_template_names(self) -> list[str]:
        return ["projects/_contact_table.html" if self.is_fragment else self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        filterset = ContactFilterSet(self.request.GET, project=self.project)
        querystring = clean_querystring(self.request.GET.urlencode())
        contacts = filterset.qs if filterset.is_valid() else Contact.objects.none()
        if querystring:
            count, is_capped = capped_count(contacts)
        else:
            count, is_capped = self.project.contact_count, False
        tags = list(self.project.tags.all()[:500])
        saved_filters = list(self.project.saved_filters.all()[:50])
        return super().get_context_data(
            filterset=filterset,
            page=page_of(contacts.prefetch_related("tags"), self.request.GET),
            count=count,
            is_capped=is_capped,
            querystring=querystring,
            filters_on=describe_filters(filterset, querystring),
            tags=tags,
            chosen_tags=set(QueryDict(querystring).getlist("tag")),
            saved_filters=saved_filters,
            is_saved=querystring in {saved.querystring for saved in saved_filters},
            is_fragment=self.is_fragment,
            attribute_names=attribute_names(self.project),
            **kwargs,
        )


def attribute_names(project: Project) -> list[str]:
    """The attributes of the newest contacts: offered in the filter, others can be typed."""
    newest = project.contacts.order_by("-pk").values_list("attributes", flat=True)
    return sorted({key for held in newest[:SAMPLE_FOR_ATTRIBUTES] for key in held})


def describe_filters(filterset: ContactFilterSet, querystring: str) -> list[str]:
    """The filters that are on, in words."""
    given = QueryDict(querystring)
    words = []
    if text := given.get("q"):
        words.append(f"“{text}”")
    if ids := given.getlist("tag"):
        named = dict(filterset.filters["tag"].queryset.values_list("pk", "name"))  # type: ignore[attr-defined]
        words += [f"tag {named.get(int(pk), '?')}" for pk in ids if pk.isdecimal()]
    for key, name in (("has_email", "e-mail"), ("has_phone", "phone")):
        if answer := given.get(key):
            words.append(f"with {name}" if answer == "yes" else f"without {name}")
    if attribute := given.get("attribute"):
        value = given.get("value")
        words.append(f"{attribute} = {value}" if value else f"with {attribute}")
    if number := given.get("import"):
        words.append(f"of import #{number}")
    return words


class ContactTagsView(ProjectAccessMixin, View):
    """Tag or untag the ticked contacts, or all that the filter selects."""

    required_right = Right.OPERATE
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        back = HttpResponseRedirect(self._list_url())
        form = TagForm(request.POST)
        if not form.is_valid():
            messages.error(
                request, "Name a tag: " + " ".join(map(str, form.errors.get("tag", ["unknown"])))
            )
            return back
        chosen = self._chosen()
        if chosen is None:
            messages.error(request, "Tick the contacts first, or choose all that match.")
            return back
        name = form.cleaned_data["tag"]
        if form.cleaned_data["action"] == "add":
            count = verbs.tag_contacts(self.project, chosen, name=name)
            messages.success(request, f"{plural(count)} tagged “{name}”.")
        else:
            count = verbs.untag_contacts(self.project, chosen, name=name)
            messages.success(request, f"“{name}” taken from {plural(count)}.")
        return back

    def _chosen(self) -> QuerySet[Contact] | None:
        if self.request.POST.get("scope") == "all":
            return filtered(self.project, self.request.POST.get("querystring", ""))
        ids = [int(pk) for pk in self.request.POST.getlist("ids") if pk.isdecimal()]
        return self.project.contacts.filter(pk__in=ids[:1000]) if ids else None

    def _list_url(self) -> str:
        address = reverse("projects:contacts", args=[self.project.slug])
        given = QueryDict(self.request.POST.get("back", ""))
        return f"{address}?{given.urlencode()}" if given else address


def plural(count: int) -> str:
    return f"{count:,} contact{'' if count == 1 else 's'}"


class SavedFilterCreateView(ProjectAccessMixin, View):
    required_right = Right.OPERATE
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = SavedFilterForm(request.POST)
        address = reverse("projects:contacts", args=[self.project.slug])
        if not form.is_valid():
            messages.error(request, "Give the filter a name of at most 80 characters.")
            kept = clean_querystring(request.POST.get("querystring", ""))
            return HttpResponseRedirect(f"{address}?{kept}")
        saved = verbs.save_filter(self.project, self.actor, **form.cleaned_data)
        messages.success(request, f"Filter “{saved.name}” is kept for everybody in the team.")
        return HttpResponseRedirect(f"{address}?{saved.querystring}")


class SavedFilterDeleteView(ProjectAccessMixin, View):
    required_right = Right.OPERATE
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *, pk: int, **kwargs: Any) -> HttpResponse:
        saved = get_object_or_404(self.project.saved_filters, pk=pk)
        saved.delete()
        messages.success(request, f"Filter “{saved.name}” is deleted. No contact was changed.")
        return redirect("projects:contacts", self.project.slug)
