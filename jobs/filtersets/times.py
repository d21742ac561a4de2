"""Filters by time, as the browser's own field for a date and time gives it."""

import django_filters as filters
from django.forms import DateTimeInput


def since(field: str, label: str) -> filters.DateTimeFilter:
    return _time(field, "gte", label)


def before(field: str, label: str) -> filters.DateTimeFilter:
    return _time(field, "lt", label)


def _time(field: str, lookup: str, label: str) -> filters.DateTimeFilter:
    widget = DateTimeInput(attrs={"type": "datetime-local"})
    return filters.DateTimeFilter(field_name=field, lookup_expr=lookup, label=label, widget=widget)
