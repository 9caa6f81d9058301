"""``dataset.json``: what a dataset folder says of itself (counts, checks, provenance, hashes)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rec_platform.data.feedback import FeedbackRule

FORMAT_VERSION = 1
MANIFEST_NAME = "dataset.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceFile(_Strict):
    """A file that was read. ``name`` is relative to the source; no absolute path is stored."""

    name: str
    sha256: str
    bytes: int


class Source(_Strict):
    """Where the rows came from."""

    name: str
    """Base name of the file or folder read, or ``generator``."""
    format: str
    files: tuple[SourceFile, ...] = ()
    mapping: dict[str, str] = Field(default_factory=dict)
    """Our column name -> the source's."""
    default_event: str | None = None
    """The event of every row, where the source has no event column."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """What the reader decided where the source leaves it open (units, times); the generator's configuration."""


class Counts(_Strict):
    """Rows of the log, and rows of the tables written."""

    rows_read: int
    rows_kept: int
    rows_rejected: int
    users: int
    items: int
    interactions: int
    decisions: int


class Check(_Strict):
    """One thing that was looked at after reading. A failed check is a warning: the dataset is usable."""

    name: str
    passed: bool
    detail: str


class TimeRange(_Strict):
    first: datetime
    last: datetime


class StoredFile(_Strict):
    sha256: str
    bytes: int
    rows: int | None = None


class SegmentsRecord(_Strict):
    """How the column ``segment`` of the users came to be (`rec_platform.data.segments`)."""

    method: str
    as_of: datetime
    """No event from this moment on was counted."""
    users: int
    """Users who have a segment."""
    frequency_is: str
    monetary_is: str


class DatasetManifest(_Strict):
    """The content of ``dataset.json``. It is written last, so a folder without it is not a dataset."""

    format_version: int
    name: str
    created_at: datetime
    code_version: str
    source: Source
    counts: Counts
    checks: tuple[Check, ...]
    events: dict[str, int]
    """Kept rows of each event."""
    rejected: dict[str, dict[str, int]]
    """Table -> reason -> rows."""
    time_range: TimeRange
    feedback: dict[str, Any]
    """`FeedbackRule.to_dict()`: which events enter a history."""
    files: dict[str, StoredFile]
    """Path inside the folder -> what is there."""
    segments: SegmentsRecord | None = None
    """None where `rec-platform segment` has not run."""

    @property
    def feedback_rule(self) -> FeedbackRule:
        return FeedbackRule.from_dict(self.feedback)
