"""One's own profile, and the page an invitation leads to."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.views import EmailView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.views.generic import FormView, TemplateView

from accounts import membership
from accounts.errors import Refused
from accounts.forms import NewAccountForm, ProfileForm
from accounts.models import User

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class ProfileView(LoginRequiredMixin, FormView):
    template_name = "accounts/profile.html"
    form_class = ProfileForm
    success_url = reverse_lazy("accounts:profile")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "instance": self.request.user}

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        form.save()
        messages.success(self.request, "Saved.")
        return super().form_valid(form)


class AddressView(EmailView):
    """One's e-mail address, changed once the new one is confirmed.

    Invited people and those made on the command line are vouched for by who made them. Without
    that allauth takes their address for one not yet confirmed and drops it for the new one.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = request.user
        if user.is_authenticated and not settings.OPEN_SIGNUP:
            addresses = EmailAddress.objects.filter(user=user)
            if not addresses.filter(verified=True).exists():
                addresses.update(primary=False)
                EmailAddress.objects.update_or_create(
                    user=user, email=user.email, defaults={"verified": True, "primary": True}
                )
        return super().dispatch(request, *args, **kwargs)


class InvitationView(TemplateView):
    """GET shows what is offered; only a POST accepts, since mail scanners follow links."""

    template_name = "accounts/invitation.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = membership.open_invitation(kwargs["token"])
        if found is None:
            raise Http404("This invitation does not hold any more. Ask for a new one.")
        self.invitation = found
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        return {
            "invitation": self.invitation,
            "has_account": User.objects.filter(email__iexact=self.invitation.email).exists(),
            "is_addressee": user.is_authenticated
            and user.email.lower() == self.invitation.email.lower(),
            "form": NewAccountForm(email=self.invitation.email),
            **super().get_context_data(**kwargs),
        }

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        context = self.get_context_data(**kwargs)
        try:
            if context["is_addressee"]:
                membership.accept(self.invitation, request.user)  # type: ignore[arg-type]
            elif context["has_account"]:
                raise Refused(f"Sign in as {self.invitation.email} first.")
            else:
                form = NewAccountForm(request.POST, email=self.invitation.email)
                if not form.is_valid():
                    return self.render_to_response({**context, "form": form})
                login(request, self._make_account(form), backend=BACKEND)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return self.render_to_response(context)
        messages.success(request, f"Welcome to {self.invitation.team}.")
        return redirect("home")

    @transaction.atomic
    def _make_account(self, form: NewAccountForm) -> User:
        user = User.objects.create_user(
            self.invitation.email, form.cleaned_data["password"], name=form.cleaned_data["name"]
        )
        membership.accept(self.invitation, user)
        return user
