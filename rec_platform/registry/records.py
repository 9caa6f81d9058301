"""Why a version was promoted, or was not: every time it was asked, with all numbers, kept for ever.

One JSON line a record in ``models/NAME/promotions.jsonl`` (`registry.lines`). A record says what was decided; that an
alias moved is said by `aliases.AliasMove`, which names the record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rec_platform.errors import InputError
from rec_platform.registry.lines import append_line, whole_lines


class PromotionRecord(BaseModel):
    """Attributes:
    id: ``p1``, ``p2`` … of one model.
    at: when, RFC 3339 in UTC.
    actor: who asked.
    alias: which alias was to move.
    candidate: the version it was to point at.
    previous: the version it pointed at; None where it pointed at none.
    promoted: what was decided.
    forced: whether it was decided against the gate, or without asking it.
    reason: as given; never empty where it was forced.
    checks: of the gate: name, passed, statement.
    evidence: what they rest on.
    settings: of the gate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = ""
    at: str
    actor: str
    alias: str
    candidate: int
    previous: int | None
    promoted: bool
    forced: bool = False
    reason: str = ""
    checks: tuple[dict[str, Any], ...] = ()
    evidence: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


def read_records(path: Path) -> list[PromotionRecord]:
    """All records, oldest first.

    Raises:
        InputError: a whole line is not a record.
    """
    records = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            records.append(PromotionRecord.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            raise InputError(f"{path}:{number}", "is not a promotion record", "restore the file") from error
    return records


def append_record(path: Path, record: PromotionRecord) -> PromotionRecord:
    """Add a record durably under the next id; the caller holds the registry's lock."""
    numbered = record.model_copy(update={"id": f"p{len(whole_lines(path)) + 1}"})
    append_line(path, json.loads(numbered.model_dump_json()))  # JSON of pydantic: NaN becomes null
    return numbered
