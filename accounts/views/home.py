from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch
from django.views import View


class HomeView(LoginRequiredMixin, View):
    """Where signing in leads: the current project's runs."""

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            return redirect("jobs:list")
        except NoReverseMatch:
            return redirect("account_email")
