"""The admin at a million rows: no full count, no unbounded select, nothing changed in passing."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNT_LIMIT = 10_000


class CappedPaginator(Paginator):
    """Counts no further than COUNT_LIMIT; the pages after that are reached by filters."""

    @cached_property
    def count(self) -> int:  # type: ignore[override]
        rows = self.object_list
        if isinstance(rows, models.QuerySet):
            return rows.order_by().values("pk")[:COUNT_LIMIT].count()
        return len(rows)


class PlainAdmin(admin.ModelAdmin):
    """Defaults of every list: 50 rows, capped count, foreign keys by id and never a drop-down."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 50

    def get_raw_id_fields(self) -> list[str]:
        return [
            field.name
            for field in self.model._meta.get_fields()
            if isinstance(field, models.ForeignKey)
        ]

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite):
        super().__init__(model, admin_site)
        self.raw_id_fields = self.get_raw_id_fields()  # type: ignore[misc]  # Django reads self


class ReadOnlyAdmin(PlainAdmin):
    """Rows that only Spindle's verbs write: they can be looked at, not edited or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
