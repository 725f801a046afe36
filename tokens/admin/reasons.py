"""Why staff revoke devices: a reason of the site's own, and a note."""

from django import forms
from django.conf import settings

from accounts.text import clean_text
from tokens.models import NOTE_LENGTH

OTHER = ""  # the reason that has no text of its own: the note says why


class NoteField(forms.CharField):
    def to_python(self, value):
        return clean_text(super().to_python(value), NOTE_LENGTH)


class ReasonForm(forms.Form):
    """A reason, a note, or both. The person reads them as one text."""

    reason = forms.ChoiceField(
        label="Reason, shown to the person", required=False, widget=forms.RadioSelect
    )
    note = NoteField(
        label="Note, shown to the person",
        required=False,
        help_text="The person reads it after the reason. With a reason, it may stay empty.",
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        reasons = settings.REVOKE_REASONS
        self.fields["reason"].choices = [*zip(reasons, reasons, strict=True), (OTHER, "Other")]
        left = NOTE_LENGTH - max(map(len, reasons)) - 1
        self.fields["note"].widget.attrs["maxlength"] = left

    def clean(self):
        if not self.errors and not self.text():
            self.add_error("note", "Choose a reason or write a note. The person reads it.")

    def text(self) -> str:
        """The text that the person reads."""
        words = [self.cleaned_data["reason"], self.cleaned_data["note"]]
        return clean_text(" ".join(filter(None, words)), NOTE_LENGTH)
