"""Signing in and being signed in."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User

pytestmark = pytest.mark.browser


def test_a_signed_in_member_sees_the_portal(page_as: Callable[..., Page], viewer: User) -> None:
    page = page_as(viewer)
    page.goto("/")
    expect(page).not_to_have_url("**/accounts/login/**")
    stranger = page_as(None)
    stranger.goto("/")
    assert "/accounts/login/" in stranger.url
