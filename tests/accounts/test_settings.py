"""Members, invitations, tokens, plan: the settings of a team."""

import re

import pytest
from django.core import mail
from django.urls import reverse

from accounts import membership
from accounts.errors import Refused
from accounts.models import ApiToken, Membership, Role, Usage, User
from accounts.permissions import Actor
from accounts.usage import this_month


def test_an_invited_person_makes_an_account_and_joins_once(as_user, admin_member, team, client):
    page = as_user(admin_member).post(
        reverse("accounts:members", args=[team.slug]),
        {"email": "New@Example.com", "role": "builder"},
    )
    link = re.search(r"http://testserver(/invitations/[\w-]+)", page.content.decode()).group(1)
    assert link in mail.outbox[0].body
    assert "Join Northwind" in client.get(link).content.decode()
    assert Membership.objects.filter(user__email="new@example.com").count() == 0

    client.post(link, {"name": "Nia New", "password": "a-long-enough-phrase"})
    joined = Membership.objects.get(user__email="new@example.com")
    assert (joined.team, joined.role) == (team, Role.BUILDER)
    assert client.get(link).status_code == 404  # used up
    team.refresh_from_db()
    assert team.rights_version == 1


def test_an_invitation_is_only_for_its_addressee(as_user, admin_member, viewer, outsider, team):
    invitation, token = membership.invite(
        team, Actor(user=admin_member), email=outsider.email, role=Role.VIEWER
    )
    link = reverse("accounts:invitation", args=[token])
    with pytest.raises(Refused, match="sign in with that address"):
        membership.accept(invitation, viewer)
    as_user(outsider).post(link)
    assert Membership.objects.filter(team=team, user=outsider).exists()


def test_the_last_admin_stays(admin_member, builder, team):
    actor = Actor(user=admin_member)
    own = team.memberships.get(user=admin_member)
    with pytest.raises(Refused, match="needs an admin"):
        membership.change_role(own, actor, role=Role.VIEWER)
    with pytest.raises(Refused, match="needs an admin"):
        membership.remove(own, actor)
    membership.change_role(team.memberships.get(user=builder), actor, role=Role.ADMIN)
    membership.remove(own, actor)
    assert next(entry.action for entry in team.audit_entries.all()) == "member.removed"


def test_anybody_may_leave_but_not_send_others_away(as_user, viewer, operator, team):
    own, other = (team.memberships.get(user=user) for user in (viewer, operator))
    client = as_user(viewer)
    url = reverse("accounts:member_act", args=[team.slug, other.pk])
    assert client.post(url, {"remove": "1"}).status_code == 403
    client.post(reverse("accounts:member_act", args=[team.slug, own.pk]), {"remove": "1"})
    assert not Membership.objects.filter(pk=own.pk).exists()


def test_a_token_is_shown_once_and_opens_nothing_after_it_is_revoked(as_user, admin_member, team):
    """S10."""
    client = as_user(admin_member)
    url = reverse("accounts:tokens", args=[team.slug])
    page = client.post(url, {"name": "CI", "role": "operator", "lasts_days": "30"})
    text = re.search(r"spt_\w+_[\w-]+", page.content.decode()).group(0)
    token = ApiToken.find(text)
    assert token is not None
    assert token.expires_at is not None
    assert text not in client.get(url).content.decode()
    assert text.rsplit("_", 1)[1] not in token.secret_hash
    client.post(reverse("accounts:token_revoke", args=[team.slug, token.pk]))
    assert ApiToken.find(text) is None


@pytest.mark.parametrize("text", ["", "spt", "spt_x_y", "spt__", "Bearer", "spt_0000000000_wrong"])
def test_rubbish_is_no_token(db, text):
    assert ApiToken.find(text) is None


def test_the_plan_is_told_in_words_and_numbers(as_user, viewer, team):
    """P1."""
    team.monthly_record_limit = 1_000
    team.save()
    Usage.objects.create(team=team, month=this_month(), job_count=3, record_count=950)
    page = as_user(viewer).get(reverse("accounts:team", args=[team.slug])).content.decode()
    assert "950 of 1,000 used · close to the limit" in page
    assert "3 used · no limit" in page
    assert "starts again on" in page


def test_signing_in_by_email_and_out_again(client, viewer):
    url = reverse("account_login")
    wrong = client.post(url, {"login": "vera@example.com", "password": "no"})
    assert "_auth_user_id" not in client.session
    assert wrong.status_code == 200
    client.post(url, {"login": "Vera@Example.com", "password": "long-pass-phrase"})
    assert client.session["_auth_user_id"] == str(viewer.pk)
    client.post(reverse("account_logout"))
    assert "_auth_user_id" not in client.session


def test_a_lost_password_is_mailed_a_link(client, viewer):
    client.post(reverse("account_reset_password"), {"email": viewer.email})
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body).group(1)
    form = client.get(link, follow=True)
    client.post(
        form.request["PATH_INFO"],
        {"password1": "another-long-phrase", "password2": "another-long-phrase"},
    )
    viewer.refresh_from_db()
    assert viewer.check_password("another-long-phrase")


def test_accounts_come_by_invitation(client, db):
    assert "By invitation" in client.get(reverse("account_signup")).content.decode()
    client.post(
        reverse("account_signup"),
        {"email": "x@example.com", "password1": "a-long-phrase-1", "password2": "a-long-phrase-1"},
    )
    assert not User.objects.filter(email="x@example.com").exists()


def test_an_ended_session_sends_the_whole_page_to_sign_in(client, project):
    """S02."""
    answer = client.get(
        reverse("projects:contacts", args=[project.slug]),
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/portal/x?a=b"},
    )
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Fportal%2Fx%3Fa%3Db"


def test_times_are_in_the_readers_zone(as_user, viewer, team):
    """X4."""
    viewer.time_zone = "Asia/Tokyo"
    viewer.save()
    page = as_user(viewer).get(reverse("accounts:members", args=[team.slug])).content.decode()
    assert "JST" in page
