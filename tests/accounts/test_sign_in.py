"""Signing in: limits, two-factor, the admin's door; changing one's address."""

import re

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from accounts.models import User

LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


PASSWORD = "long-pass-phrase"  # the cast's (tests/conftest.py)


def sign_in(client, user, password=PASSWORD, **extra):
    return client.post(LOGIN, {"login": user.email, "password": password}, **extra)


def confirm_password(client):
    """What concerns the account itself is asked for once more."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def test_guessing_is_stopped_whatever_address_it_claims_to_come_from(client, viewer):
    """S11: a forged X-Forwarded-For buys no further tries; afterwards the right password fails."""
    for guess in range(10):
        sign_in(client, viewer, f"guess-{guess}", HTTP_X_FORWARDED_FOR=f"10.0.0.{guess}")
    sign_in(client, viewer, HTTP_X_FORWARDED_FOR="10.0.0.99")
    assert "_auth_user_id" not in client.session


def test_a_wrong_address_and_a_wrong_password_are_told_alike(client, viewer):
    def message(login):
        page = client.post(LOGIN, {"login": login, "password": "no"}).content.decode()
        return re.search(r"errorlist[^>]*>(.*?)</ul>", page, re.S).group(1)

    assert message(viewer.email) == message("nobody@example.com")


def test_the_admin_has_no_door_of_its_own(client, staff, as_user, viewer):
    assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith(LOGIN)
    assert client.post("/admin/login/", {"username": staff.email, "password": "x"}).url.startswith(
        LOGIN
    )
    assert as_user(staff).get("/admin/").status_code == 200
    assert as_user(viewer).get("/admin/", follow=True).status_code == 403


def test_two_factor_is_set_up_and_then_asked_for(client, viewer):
    sign_in(client, viewer)
    url = reverse("mfa_activate_totp")
    assert client.get(url).url.startswith(reverse("account_reauthenticate"))
    confirm_password(client)
    page = client.get(url)
    assert "data:image/svg+xml" in page.content.decode()
    secret = page.context["form"].secret
    code = totp.format_hotp_value(
        totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time())))
    )
    assert client.post(url, {"code": code}).status_code == 302
    codes = client.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    client.post(reverse("account_logout"))

    assert sign_in(client, viewer).url == reverse("mfa_authenticate")
    assert "_auth_user_id" not in client.session
    client.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert client.session["_auth_user_id"] == str(viewer.pk)


def test_an_address_changes_once_its_owner_confirmed_it(client, viewer):
    sign_in(client, viewer)
    confirm_password(client)
    client.post(reverse("account_email"), {"action_add": "1", "email": "vera@new.example.com"})
    assert User.objects.get(pk=viewer.pk).email == "vera@example.com"
    link = re.search(r"http://testserver(\S*confirm-email\S*)", mail.outbox[-1].body).group(1)
    client.post(link)
    assert User.objects.get(pk=viewer.pk).email == "vera@new.example.com"


@pytest.mark.parametrize(
    "name",
    [
        "account_change_password",
        "account_email",
        "mfa_index",
        "usersessions_list",
        "account_logout",
    ],
)
def test_pages_of_ones_account_have_the_portals_look(client, viewer, name):
    sign_in(client, viewer)
    confirm_password(client)
    page = client.get(reverse(name)).content.decode()
    assert 'class="sidebar"' in page or 'class="entrance' in page
    assert "<h1" in page
    assert "style=" not in re.sub(r"data:image\S+", "", page)
