from django.urls import include, path

from accounts.views import people, settings
from accounts.views.home import HomeView

TEAM = "portal/settings/<slug:team>"

settings_patterns = [
    path("portal/settings", settings.SettingsHomeView.as_view(), name="settings"),
    path("portal/profile", people.ProfileView.as_view(), name="profile"),
    path("invitations/<str:token>", people.InvitationView.as_view(), name="invitation"),
    path(TEAM, settings.TeamSettingsView.as_view(), name="team"),
    path(f"{TEAM}/members", settings.MembersView.as_view(), name="members"),
    path(f"{TEAM}/members/<int:pk>", settings.MemberActView.as_view(), name="member_act"),
    path(
        f"{TEAM}/invitations/<int:pk>/revoke",
        settings.InvitationRevokeView.as_view(),
        name="invitation_revoke",
    ),
    path(f"{TEAM}/tokens", settings.TokensView.as_view(), name="tokens"),
    path(f"{TEAM}/tokens/<int:pk>/revoke", settings.TokenRevokeView.as_view(), name="token_revoke"),
    path(f"{TEAM}/history", settings.HistoryView.as_view(), name="history"),
]

urlpatterns = [
    path("", HomeView.as_view(), name="home"),
    path("", include((settings_patterns, "accounts"))),
]
