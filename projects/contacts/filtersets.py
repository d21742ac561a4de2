"""Filters of a project's contacts, the same for the list, saved filters, exports and runs."""

import json
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTransform
from django.http import QueryDict

from projects.models import Contact, Project, Tag

# Not filters: where in the list one is, and how a row was opened.
PAGING_KEYS = ("after", "before")


class TagFilter(django_filters.ModelMultipleChoiceFilter):
    """Contacts that have all the chosen tags. Sub-queries, so that no row comes twice."""

    def filter(self, qs: QuerySet[Contact], value: Any) -> QuerySet[Contact]:
        through = Contact.tags.through
        for tag in value or []:
            tagged = through.objects.filter(tag_id=tag.pk).values("contact_id")  # type: ignore[attr-defined]
            qs = qs.filter(pk__in=tagged)
        return qs


HAS = [("yes", "Yes"), ("no", "No")]


class ContactFilterSet(django_filters.FilterSet):
    """`q` text · `tag` ids · `has_email`, `has_phone` yes/no · `attribute` = `value` · `import`."""

    q = django_filters.CharFilter(
        method="search",
        label="Search",
        widget=forms.TextInput(
            attrs={
                "placeholder": "Search contacts…",
                "class": "field search",
                "type": "search",
                "maxlength": 200,
            }
        ),
    )
    tag = TagFilter(
        queryset=Tag.objects.none(),
        label="Tag",
        widget=forms.SelectMultiple(attrs={"class": "field"}),
    )
    has_email = django_filters.ChoiceFilter(method="filter_has", label="E-mail", choices=HAS)
    has_phone = django_filters.ChoiceFilter(method="filter_has", label="Phone", choices=HAS)
    attribute = django_filters.CharFilter(method="filter_attribute", label="Attribute")
    value = django_filters.CharFilter(method="ignore", label="Value")

    class Meta:
        model = Contact
        fields: list[str] = []

    def __init__(self, data: Any, *, project: Project, **kwargs: Any) -> None:
        kwargs.setdefault("queryset", Contact.objects.filter(project=project))
        super().__init__(without_blanks(data), **kwargs)
        self.project = project
        self.filters["tag"].queryset = project.tags.all()  # type: ignore[attr-defined]

    @classmethod
    def get_filters(cls) -> Any:
        filters = super().get_filters()
        filters["import"] = django_filters.NumberFilter(field_name="last_import_id", label="Import")
        return filters

    def search(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        """Every word must occur somewhere in name, e-mail, phone or external id."""
        for word in value.lower().split()[:8]:
            queryset = queryset.filter(search_text__contains=word)
        return queryset

    def filter_has(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        column = name.removeprefix("has_")
        return (
            queryset.exclude(**{column: ""}) if value == "yes" else queryset.filter(**{column: ""})
        )

    def filter_attribute(
        self, queryset: QuerySet[Contact], name: str, value: str
    ) -> QuerySet[Contact]:
        """The attribute has this value; with an empty value, the contact has the attribute."""
        # KeyTransform: a key is people's text and may hold "__".
        queryset = queryset.alias(_attribute=KeyTransform(value, "attributes"))
        wanted = str(self.data.get("value", "")).strip()
        if not wanted:
            return queryset.filter(attributes__has_key=value)
        return queryset.filter(equals_as_text("_attribute", wanted))

    def ignore(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        return queryset


def without_blanks(data: Any) -> Any:
    """A form sends `tag=` for "Any tag", which is no tag's number."""
    if not isinstance(data, QueryDict):
        return data
    kept = QueryDict(mutable=True)
    for key, values in data.lists():
        kept.setlist(key, [value for value in values if value.strip()])
    return kept


def equals_as_text(alias: str, text: str) -> Q:
    """`5` finds the text "5" and the number 5, `true` the text and the truth value."""
    wanted = Q(**{alias: text})
    try:
        other = json.loads(text)
    except ValueError:
        return wanted
    return wanted if isinstance(other, str) or other is None else wanted | Q(**{alias: other})


def clean_querystring(querystring: str) -> str:
    """Only the filters that are set, in a fixed order: what a saved filter keeps."""
    given = QueryDict(querystring)
    kept = QueryDict(mutable=True)
    for key in (*ContactFilterSet.get_filters(),):
        values = sorted(v.strip() for v in given.getlist(key) if v.strip())
        if values:
            kept.setlist(key, values)
    return kept.urlencode()


def filtered(project: Project, querystring: str) -> QuerySet[Contact]:
    """The project's contacts that a list address's query string selects, unordered, no joins.

    A filter that makes no sense (a tag deleted meanwhile) selects nothing rather than everybody.
    """
    filterset = ContactFilterSet(QueryDict(querystring), project=project)
    return filterset.qs if filterset.is_valid() else Contact.objects.none()
