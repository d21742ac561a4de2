import zoneinfo
from datetime import timedelta

from django import forms
from django.contrib.auth import password_validation
from django.utils import timezone

from accounts.models import Role, Team, User

FIELD = {"class": "field"}


class TeamForm(forms.ModelForm):
    class Meta:
        model = Team
        fields = ("name",)
        widgets = {"name": forms.TextInput(attrs=FIELD)}


class PlanForm(forms.ModelForm):
    class Meta:
        model = Team
        fields = ("monthly_job_limit", "monthly_record_limit")
        widgets = {
            "monthly_job_limit": forms.NumberInput(attrs={**FIELD, "min": 0}),
            "monthly_record_limit": forms.NumberInput(attrs={**FIELD, "min": 0}),
        }
        help_texts = {
            "monthly_job_limit": "Empty: no limit.",
            "monthly_record_limit": "Empty: no limit.",
        }


class RetentionForm(forms.ModelForm):
    """Empty: kept for ever."""

    class Meta:
        model = Team
        fields = ("journey_retention_days", "event_retention_days", "record_retention_days")
        labels = {
            "journey_retention_days": "Journeys, days",
            "event_retention_days": "Execution history, days",
            "record_retention_days": "Records, days",
        }
        help_texts = {
            "journey_retention_days": "What each step got and gave; such records cannot be retried.",
            "event_retention_days": "The events behind a job's timeline.",
            "record_retention_days": "Outcomes by contact, with their journeys.",
        }

    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        for name, field in self.fields.items():
            self.fields[name] = forms.IntegerField(
                label=field.label, help_text=field.help_text, required=False,
                min_value=1, max_value=36_500,
                widget=forms.NumberInput(attrs={**FIELD, "min": 1, "placeholder": "for ever"}),
            )  # fmt: skip


class InviteForm(forms.Form):
    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs=FIELD))
    role = forms.ChoiceField(
        choices=Role.choices, initial=Role.OPERATOR, widget=forms.Select(attrs=FIELD)
    )


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class TokenForm(forms.Form):
    LASTING = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "no end"))

    name = forms.CharField(
        max_length=120, widget=forms.TextInput(attrs=FIELD), help_text="What uses it, e.g. CI."
    )
    role = forms.ChoiceField(
        choices=Role.choices, initial=Role.OPERATOR, widget=forms.Select(attrs=FIELD)
    )
    lasts_days = forms.ChoiceField(
        label="Ends after", choices=LASTING, required=False, widget=forms.Select(attrs=FIELD)
    )

    def expires_at(self):  # type: ignore[no-untyped-def]
        days = self.cleaned_data["lasts_days"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class ProfileForm(forms.ModelForm):
    time_zone = forms.ChoiceField(required=False, widget=forms.Select(attrs=FIELD))

    class Meta:
        model = User
        fields = ("name", "time_zone")
        widgets = {"name": forms.TextInput(attrs={**FIELD, "autocomplete": "name"})}

    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        zones = sorted(zoneinfo.available_timezones())
        self.fields["time_zone"].choices = [  # type: ignore[attr-defined]
            ("", "The portal's zone"), *((zone, zone) for zone in zones),
        ]  # fmt: skip


class NewAccountForm(forms.Form):
    """Somebody who was invited and has no account yet."""

    name = forms.CharField(
        max_length=150, widget=forms.TextInput(attrs={**FIELD, "autocomplete": "name"})
    )
    password = forms.CharField(
        widget=forms.PasswordInput(attrs={**FIELD, "autocomplete": "new-password"}),
        help_text="At least eight characters, and not a common one.",
    )

    def __init__(self, *args: object, email: str, **kwargs: object):
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.email = email

    def clean_password(self) -> str:
        password = self.cleaned_data["password"]
        user = User(email=self.email, name=self.cleaned_data.get("name", ""))
        password_validation.validate_password(password, user)
        return password
