"""A team's settings: general, members, tokens, history."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views import View
from django.views.generic import TemplateView

from accounts import audit, membership, retention, tokens, usage
from accounts.errors import Refused
from accounts.forms import InviteForm, PlanForm, RetentionForm, RoleForm, TeamForm, TokenForm
from accounts.models import ApiToken, Invitation, Membership, Role, Team
from accounts.permissions import Right, require
from accounts.views.access import TeamAccessMixin


class SettingsHomeView(LoginRequiredMixin, View):
    """To the settings of the team of the project last looked at, else of the first team."""

    def get(self, request: HttpRequest) -> HttpResponse:
        teams = Team.objects.visible_to(request.user)
        slug = request.session.get("project")
        team = teams.filter(projects__slug=slug).first() or teams.first()
        if team is None:
            return redirect("accounts:profile")
        return redirect("accounts:team", team.slug)


class TeamSettingsView(TeamAccessMixin, TemplateView):
    template_name = "accounts/team_settings.html"
    extra_context = {"section": "team"}
    write_right = Right.ADMINISTER
    forms: ClassVar[dict[str, tuple[str, Any]]] = {
        "plan": ("plan_form", PlanForm), "retention": ("retention_form", RetentionForm),
    }  # fmt: skip

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {
            "form": TeamForm(instance=self.team),
            "plan_form": PlanForm(instance=self.team),
            "retention_form": RetentionForm(instance=self.team),
            "retention": retention.state_of(self.team),
            "meters": usage.meters(self.team),
            "resets_on": usage.resets_on(),
            "teams": Team.objects.visible_to(self.request.user),
            **context,
        }

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        name, form_class = next(
            (found for key, found in self.forms.items() if key in request.POST), ("form", TeamForm)
        )
        before = {f: getattr(self.team, f) for f in form_class.Meta.fields}
        form = form_class(request.POST, instance=self.team)
        if not form.is_valid():
            self.team.refresh_from_db()  # the form wrote what was typed into it
            return self.render_to_response(self.get_context_data(**{name: form}))
        with transaction.atomic():
            form.save()
            if name == "retention_form" and form.has_changed():
                retention.changed(self.team)
            audit.record(
                self.team, self.actor, "team.changed", self.team.name,
                **{f: [before[f], getattr(self.team, f)] for f in form.changed_data},
            )  # fmt: skip
        messages.success(request, "Saved.")
        return redirect("accounts:team", self.team.slug)


class MembersView(TeamAccessMixin, TemplateView):
    template_name = "accounts/members.html"
    extra_context = {"section": "members"}
    write_right = Right.ADMINISTER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {
            "form": InviteForm(),
            "members": self.team.memberships.select_related("user").order_by("user__email"),
            "invitations": self.team.invitations.filter(accepted_at=None, revoked_at=None),
            "roles": Role.choices,
            **context,
        }

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = InviteForm(request.POST)
        if form.is_valid():
            try:
                invitation, token = membership.invite(self.team, self.actor, **form.cleaned_data)
            except Refused as refusal:
                form.add_error("email", str(refusal))
            else:
                link = request.build_absolute_uri(reverse("accounts:invitation", args=[token]))
                _mail_invitation(invitation, link)
                context = self.get_context_data(new_link=link, new_email=invitation.email)
                return self.render_to_response(context)
        return self.render_to_response(self.get_context_data(form=form))


def _mail_invitation(invitation: Invitation, link: str) -> None:
    """The link also stands on the page, so a mail server that is away stops nobody."""
    text = render_to_string(
        "accounts/invitation_mail.txt", {"invitation": invitation, "link": link}
    )
    subject = f"{invitation.invited_by_name} invites you to {invitation.team} on Spindle"
    send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [invitation.email], fail_silently=True)


class MemberActView(TeamAccessMixin, View):
    """POST: change a member's role, or remove them. Anybody may remove themselves."""

    required_right = Right.READ
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int, **kwargs: Any) -> HttpResponse:
        member = get_object_or_404(Membership.objects.select_related("user", "team"),
                                   pk=pk, team=self.team)  # fmt: skip
        is_leaving = member.user_id == request.user.pk and "remove" in request.POST
        if not is_leaving:
            self._require_admin()
        try:
            if "remove" in request.POST:
                membership.remove(member, self.actor)
                messages.success(request, f"{member.user.display_name} is no longer a member.")
            else:
                form = RoleForm(request.POST)
                if not form.is_valid():
                    raise Refused("Choose one of the four roles.")
                membership.change_role(member, self.actor, role=form.cleaned_data["role"])
                messages.success(request, f"{member.user.display_name}: role changed.")
        except Refused as refusal:
            messages.error(request, str(refusal))
        return redirect("home") if is_leaving else redirect("accounts:members", self.team.slug)

    def _require_admin(self) -> None:
        require(self.actor, self.team, Right.ADMINISTER)


class InvitationRevokeView(TeamAccessMixin, View):
    required_right = Right.ADMINISTER
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int, **kwargs: Any) -> HttpResponse:
        invitation = get_object_or_404(Invitation, pk=pk, team=self.team)
        try:
            membership.revoke_invitation(invitation, self.actor)
            messages.success(request, f"The invitation of {invitation.email} was withdrawn.")
        except Refused as refusal:
            messages.error(request, str(refusal))
        return redirect("accounts:members", self.team.slug)


class TokensView(TeamAccessMixin, TemplateView):
    template_name = "accounts/tokens.html"
    extra_context = {"section": "tokens"}
    required_right = Right.ADMINISTER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {"form": TokenForm(), "tokens": self.team.api_tokens.all()[:200], **context}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = TokenForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        token, text = tokens.issue(
            self.team, self.actor, name=form.cleaned_data["name"],
            role=form.cleaned_data["role"], expires_at=form.expires_at(),
        )  # fmt: skip
        return self.render_to_response(self.get_context_data(new_token=text, new_name=token.name))


class TokenRevokeView(TeamAccessMixin, View):
    required_right = Right.ADMINISTER
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int, **kwargs: Any) -> HttpResponse:
        token = get_object_or_404(ApiToken, pk=pk, team=self.team)
        try:
            tokens.revoke(token, self.actor)
            messages.success(request, f"{token.name} was revoked: it opens nothing any more.")
        except Refused as refusal:
            messages.error(request, str(refusal))
        return redirect("accounts:tokens", self.team.slug)


class HistoryView(TeamAccessMixin, TemplateView):
    template_name = "accounts/history.html"
    extra_context = {"section": "history"}
    required_right = Right.ADMINISTER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        before = self.request.GET.get("before", "")
        entries = self.team.audit_entries.all()
        if before.isdigit():
            entries = entries.filter(pk__lt=int(before))
        shown = list(entries[:51])
        return super().get_context_data(
            entries=shown[:50], older=shown[49].pk if len(shown) > 50 else None, **kwargs
        )
