"""When a person is told, and their Slack channel's address, which is a secret."""

from ipaddress import ip_address

from django.db import transaction
from yarl import URL

from accounts.models import NoticeRules, User
from jobs.notices.making import default_rules
from jobs.steps import guard
from projects import secrets

LONGEST_ADDRESS = 2_000


def rules_of(user: User) -> NoticeRules:
    """The defaults, unsaved, for who never set any."""
    kept = NoticeRules.objects.filter(user=user).first()
    return kept or NoticeRules(user=user, **default_rules())


@transaction.atomic
def save_rules(
    user: User, *, in_app: str, email: str, slack: str, slack_url: str = "",
    forget_slack: bool = False,
) -> None:  # fmt: skip
    """`slack_url` empty keeps the address there is."""
    fields: dict[str, object] = {"in_app": in_app, "email": email, "slack": slack}
    if forget_slack:
        fields |= {"slack_ciphertext": None, "slack_host": ""}
    elif slack_url:
        fields |= {
            "slack_ciphertext": secrets.encrypt(slack_url),
            "slack_host": URL(slack_url).host or "",
        }
    NoticeRules.objects.update_or_create(user=user, defaults=fields)


def check_slack_url(text: str) -> str:
    """The address as it will be called; ValueError with a sentence where it may not be.

    The same guard as an http step's; the address that is connected to is checked when it is sent.
    """
    try:
        url = URL(text.strip())
    except ValueError:
        raise ValueError("This is not an address.") from None
    try:
        is_internal = guard.check_url(url)
    except guard.Blocked as error:
        said = str(error)
        raise ValueError(f"{said[:1].upper()}{said[1:]}.") from None
    if not is_internal and url.scheme != "https":
        raise ValueError("The address should begin with https://, since it is a secret.")
    if not is_internal and _is_inside(url.host or ""):
        raise ValueError(
            f"{url.host} is not a public address. If it may be called, an operator adds it to "
            "SPINDLE_INTERNAL_HOSTS."
        )
    return str(url)


def _is_inside(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return not guard.is_public(host.strip("[]"))


def slack_url_of(rules: NoticeRules) -> str:
    """For sending alone; "" where there is none, or where it fits no key any more."""
    if rules.slack_ciphertext is None:
        return ""
    try:
        return secrets.decrypt(bytes(rules.slack_ciphertext))
    except secrets.Unreadable:
        return ""
