"""The small forms around a pipeline; the editor's own form is projects/pipelines/editor.py."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from projects.pipelines.starters import starters_for
from projects.pipelines.transfer import MAX_FILE_BYTES


class NewPipelineForm(forms.Form):
    name = forms.CharField(max_length=120)
    description = forms.CharField(
        max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    starter = forms.ChoiceField(label="Start from", widget=forms.RadioSelect)

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(each.slug, each.title) for each in starters_for(kind)]
        self.fields["starter"].choices = choices  # type: ignore[attr-defined]
        self.fields["starter"].initial = choices[0][0]


class PublishForm(forms.Form):
    note = forms.CharField(
        max_length=300,
        required=False,
        label="Note for the history",
        help_text="What changed and why; shown beside the version.",
    )
    revision = forms.IntegerField(widget=forms.HiddenInput)


class ImportForm(forms.Form):
    file = forms.FileField(label="JSON file", required=False)
    text = forms.CharField(
        label="Or paste its content",
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
    )
    name = forms.CharField(max_length=120, required=False, help_text="Empty: the name in the file.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        upload: UploadedFile | None = cleaned.get("file")
        if upload is not None:
            # One byte more than allowed is enough to know that it is too large.
            cleaned["content"] = upload.read(MAX_FILE_BYTES + 1)
        elif cleaned.get("text", "").strip():
            cleaned["content"] = cleaned["text"]
        else:
            raise forms.ValidationError("Choose a file, or paste its content.")
        return cleaned
