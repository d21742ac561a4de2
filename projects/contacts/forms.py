"""Forms about contacts: one contact, an upload, how a file is read, tags, saved filters."""

import re
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from projects.contacts import rows
from projects.contacts.cells import as_text
from projects.contacts.csv_reading import DELIMITERS, ENCODINGS
from projects.models import Contact, Project

SPARE_ATTRIBUTES = 3
TAG_NAME = re.compile(r"[^,;|\0]+")


class ContactForm(forms.Form):
    """`attributes` come as pairs of inputs named attribute_key and attribute_value."""

    external_id = forms.CharField(
        max_length=120, required=False, label="External id",
        help_text="The id another system knows this contact by.",
    )  # fmt: skip
    name = forms.CharField(max_length=300, required=False)
    email = forms.CharField(max_length=254, required=False, label="E-mail")
    phone = forms.CharField(max_length=60, required=False)
    tags = forms.CharField(max_length=1000, required=False, help_text="Separated by commas.")

    def __init__(self, *args: Any, project: Project, contact: Contact | None, **kwargs: Any):
        self.project, self.contact = project, contact
        if contact is not None:
            kwargs["initial"] = {
                "external_id": contact.external_id, "name": contact.name, "email": contact.email,
                "phone": contact.phone,
                "tags": ", ".join(contact.tags.values_list("name", flat=True)),
            }  # fmt: skip
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = "field"

    @property
    def attribute_rows(self) -> list[tuple[str, str]]:
        """What the form shows: what was sent, else what the contact has, and spare rows."""
        if self.is_bound:
            pairs = list(self._sent_attributes())
        else:
            held = self.contact.attributes if self.contact else {}
            pairs = [(key, as_text(value)) for key, value in sorted(held.items())]
        return [*pairs, *[("", "")] * SPARE_ATTRIBUTES]

    def _sent_attributes(self) -> list[tuple[str, str]]:
        sent = cast(QueryDict, self.data)  # the view gives it request.POST
        keys, values = sent.getlist("attribute_key"), sent.getlist("attribute_value")
        pairs = [(k.strip(), v.strip()) for k, v in zip(keys, values, strict=False)]
        return [(key, value) for key, value in pairs if key or value]

    def _clean_field(self, name: str) -> str:
        text = self.cleaned_data[name].strip()
        try:
            return rows.clean(name, text) if text else ""
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def clean_external_id(self) -> str:
        return self._clean_field("external_id")

    def clean_name(self) -> str:
        return self._clean_field("name")

    def clean_email(self) -> str:
        return self._clean_field("email")

    def clean_phone(self) -> str:
        return self._clean_field("phone")

    def clean_tags(self) -> list[str]:
        try:
            return rows.clean_tags(self.cleaned_data["tags"])
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        cleaned["attributes"] = self._clean_attributes()
        if not self.errors:
            self._check_identity(cleaned["external_id"], cleaned["email"], cleaned["phone"])
        return cleaned

    def _clean_attributes(self) -> dict[str, Any]:
        held = self.contact.attributes if self.contact else {}
        found: dict[str, Any] = {}
        for key, value in self._sent_attributes():
            if not key:
                raise ValidationError(f"Name the attribute whose value is “{value[:40]}”.")
            if len(key) > 100:
                raise ValidationError("An attribute's name has at most 100 characters.")
            if key in found:
                raise ValidationError(f"The attribute “{key}” is there twice.")
            try:
                text = rows.clean_attribute(value)
            except ValueError as error:
                raise ValidationError(f"Attribute “{key}”: {error}") from None
            # A number stays a number while nobody changes it.
            found[key] = held[key] if key in held and as_text(held[key]) == text else text
        return found

    def _check_identity(self, external_id: str, email: str, phone: str) -> None:
        if not (external_id or email or phone):
            raise ValidationError("A contact needs an external id, an e-mail or a phone.")
        others = Contact.objects.filter(project=self.project)
        if self.contact is not None:
            others = others.exclude(pk=self.contact.pk)
        if external_id:
            name, others = "external_id", others.filter(external_id=external_id)
        elif email:
            name, others = "email", others.filter(external_id="", email=email)
        else:
            name, others = "phone", others.filter(external_id="", email="", phone=phone)
        if other := others.first():
            label = {"external_id": "external id", "email": "e-mail", "phone": "phone"}[name]
            self.add_error(name, f"Another contact has this {label}: {other}.")


class UploadForm(forms.Form):
    file = forms.FileField(
        label="CSV file", allow_empty_file=True,
        widget=forms.ClearableFileInput(
            attrs={"accept": ".csv,.tsv,.txt,text/csv,text/plain,text/tab-separated-values"}
        ),
    )  # fmt: skip


class ReadingForm(forms.Form):
    """How an upload is read; one `column_<n>` a column says where it goes."""

    encoding = forms.ChoiceField(choices=list(ENCODINGS.items()))
    delimiter = forms.ChoiceField(choices=list(DELIMITERS.items()))
    skip_bad = forms.BooleanField(required=False, label="Import the good rows even if some are bad")
    tag_name = forms.CharField(
        max_length=60, required=False, label="Tag every contact of this file", strip=True
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for name in ("encoding", "delimiter", "tag_name"):
            self.fields[name].widget.attrs["class"] = "field"
        # A tab is a choice, not blank space around one.
        self.fields["delimiter"].strip = False  # type: ignore[attr-defined]

    def clean_tag_name(self) -> str:
        return clean_tag_name(self.cleaned_data["tag_name"])


class TagForm(forms.Form):
    tag = forms.CharField(max_length=60)
    action = forms.ChoiceField(choices=[("add", "Add"), ("remove", "Remove")])

    def clean_tag(self) -> str:
        return clean_tag_name(self.cleaned_data["tag"])


class SavedFilterForm(forms.Form):
    name = forms.CharField(max_length=80)
    querystring = forms.CharField(max_length=1000)


def clean_tag_name(name: str) -> str:
    name = " ".join(name.split())
    if name and not TAG_NAME.fullmatch(name):
        raise ValidationError("A tag's name holds no comma, semicolon or bar.")
    return name
