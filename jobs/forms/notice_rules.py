"""One person's rules of when they are told, and where to in Slack."""

from typing import Any

from django import forms

from accounts.models import NoticeRule, NoticeRules
from jobs.notices import rules

FIELD = {"class": "field"}


def _rule(label: str, help_text: str) -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=NoticeRule.choices, label=label, help_text=help_text,
        widget=forms.Select(attrs=FIELD),
    )  # fmt: skip


class NoticeRulesForm(forms.Form):
    """The Slack address is never shown again: an empty field keeps it."""

    in_app = _rule("In the portal", "The bell of every page, and the page of your notices.")
    email = _rule("By e-mail", "")
    slack = _rule("In Slack", "Needs the address of an incoming webhook.")
    slack_url = forms.CharField(
        label="Slack webhook address", required=False, max_length=rules.LONGEST_ADDRESS,
        widget=forms.PasswordInput(attrs={**FIELD, "autocomplete": "off"}),
    )  # fmt: skip
    forget_slack = forms.BooleanField(label="Forget the address", required=False)

    def __init__(self, data: Any = None, *, kept: NoticeRules, email: str):
        initial = {name: getattr(kept, name) for name in ("in_app", "email", "slack")}
        super().__init__(data, initial=initial)
        self.kept = kept
        self.has_address = kept.slack_ciphertext is not None
        self.fields["email"].help_text = f"To {email}."
        self.fields["slack_url"].help_text = (
            f"An address at {kept.slack_host} is kept, encrypted; it is never shown again. "
            "Enter another to replace it."
            if self.has_address
            else "Begins with https://hooks.slack.com/services/. Kept encrypted, never shown again."
        )
        if not self.has_address:
            del self.fields["forget_slack"]

    def clean_slack_url(self) -> str:
        text = self.cleaned_data["slack_url"].strip()
        if not text:
            return ""
        try:
            return rules.check_slack_url(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        forgets = cleaned.get("forget_slack", False)
        address = cleaned.get("slack_url")
        if forgets and address:
            self.add_error("forget_slack", "Either forget the address or enter another one.")
        has_address = bool(address) or (self.has_address and not forgets)
        wants_slack = cleaned.get("slack") not in (None, NoticeRule.NEVER)
        if wants_slack and not has_address and "slack_url" not in self.errors:
            self.add_error("slack_url", "Enter the address first, or choose Never for Slack.")
        return cleaned
