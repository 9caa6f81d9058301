"""The earlier part of a log, against a reading of its rules one row at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.data.dataset import Dataset
from rec_platform.data.earlier_part import write_earlier_part
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.histories import Histories
from rec_platform.data.manifest import SegmentsRecord, Source
from rec_platform.data.schema import DECISIONS
from rec_platform.data.splits import HeldOut, leave_last_one_out, temporal
from rec_platform.data.writer import write_dataset

SPLITS = {"leave-last-one-out": leave_last_one_out, "temporal": temporal}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    config = GeneratorConfig(num_users=60, num_items=30, sessions_per_user=3, slate_size=3, null_utility=1.0)
    return generate(config, tmp_path_factory.mktemp("log") / "market", name="market", truth_sessions=0)


def cut(dataset: Dataset, split: str, output: Path) -> tuple[Dataset, Histories, HeldOut]:
    histories = Histories.build(dataset, dataset.catalog())
    held_out = SPLITS[split](histories)
    return write_earlier_part(dataset, histories, held_out, output / "earlier"), histories, held_out


@pytest.mark.parametrize("split", list(SPLITS))
def test_histories_are_those_of_the_cut(market: Dataset, tmp_path: Path, split: str) -> None:
    earlier, _, held_out = cut(market, split, tmp_path)
    mine, train = Histories.build(earlier, earlier.catalog()), held_out.train
    assert mine.user_ids == train.user_ids
    for name in ("offsets", "items", "feedback", "timestamps"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(train, name))
    assert earlier.catalog().item_ids == market.catalog().item_ids
    assert earlier.users.equals(market.users)
    assert earlier.feedback_rule == market.feedback_rule
    assert "truth.json" not in earlier.manifest.files


@pytest.mark.parametrize("split", list(SPLITS))
def test_decisions_that_are_known_before_the_cut(market: Dataset, tmp_path: Path, split: str) -> None:
    earlier, histories, held_out = cut(market, split, tmp_path)
    assert market.decisions is not None
    assert earlier.decisions is not None
    kept_rows = {str(row) for row in earlier.interactions.to_pylist()}
    gone = [row for row in market.interactions.to_pylist() if str(row) not in kept_rows]
    gone_pairs = {(row["user_id"], row["item_id"]) for row in gone}
    moments: dict[str, Any] = {}
    for number, name in enumerate(histories.user_ids):
        own = histories.timestamps[histories.offsets[number] : histories.offsets[number + 1]]
        moments[name] = held_out.moment if held_out.moment is not None else (own[-1] if len(own) > 1 else None)
    expected = []
    for row in market.decisions.to_pylist():
        at = moments.get(row["user_id"], held_out.moment)
        when = row["timestamp"].timestamp() * 1e6
        answered = {row["slate"][row["chosen"]]} if row["chosen"] >= 0 else set()
        answered |= {
            item for values in dict(row["rewards"]).values() for item, v in zip(row["slate"], values, strict=True) if v
        }
        if (at is None or when < at) and not any((row["user_id"], item) in gone_pairs for item in answered):
            expected.append(row["decision_id"])
    assert earlier.decisions["decision_id"].to_pylist() == expected
    assert 0 < len(expected) < len(market.decisions)


def moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def small(
    folder: Path,
    rows: list[tuple[str, str, int, str]],
    segments_as_of: int | None = None,
    decisions: pa.Table | None = None,
) -> Dataset:
    """A dataset of (user, item, second, event); items a, b, c."""
    users, items, seconds, events = (list(column) for column in zip(*rows, strict=True))
    names = sorted(set(users))
    dataset = write_dataset(
        folder,
        name="small",
        source=Source(name="small", format="test"),
        interactions=pa.table({"user_id": users, "item_id": items, "timestamp": [moment(s) for s in seconds],
                               "event": events}),
        items=pa.table({"item_id": ["a", "b", "c"]}),
        users=pa.table({"user_id": names, "segment": ["loyal"] * len(names)}),
        decisions=decisions,
        feedback=FeedbackRule(),
    )  # fmt: skip
    if segments_as_of is None:
        return dataset
    record = SegmentsRecord(
        method="test", as_of=moment(segments_as_of), users=len(names), frequency_is="-", monetary_is="-"
    )
    return Dataset(dataset.folder, dataset.manifest.model_copy(update={"segments": record}))


def test_every_trace_of_the_last_event_goes(tmp_path: Path) -> None:
    """Also events of other kinds, and of its own moment those that the tie rule puts behind it."""
    log = small(
        tmp_path / "log",
        [
            ("u", "a", 1, "click"),
            ("u", "b", 2, "view"),
            ("u", "a", 5, "click"),  # of one moment with the last, and before it in the catalogue
            ("u", "b", 5, "click"),  # the last
            ("u", "b", 5, "purchase"),  # the same event
            ("u", "c", 5, "view"),  # behind it
            ("u", "b", 6, "view"),
            ("v", "a", 3, "click"),  # the only event of its user, who is not asked for
            ("v", "c", 9, "view"),
        ],
    )
    earlier, _, held_out = cut(log, "leave-last-one-out", tmp_path)
    rows = [(row["user_id"], row["item_id"], row["event"]) for row in earlier.interactions.to_pylist()]
    assert rows == [
        ("u", "a", "click"), ("u", "b", "view"), ("u", "a", "click"), ("v", "a", "click"), ("v", "c", "view")
    ]  # fmt: skip
    assert held_out.items.tolist() == [1]


def test_decisions_that_tell_of_the_last_event_go(tmp_path: Path) -> None:
    told: list[tuple[str, str, int, int | None, dict[str, list[float]]]] = [
        ("taken early", "u", 1, 0, {"click": [1.0, 0.0]}),
        ("shown, not taken", "u", 2, -1, {"click": [0.0, 0.0]}),
        ("taken late", "u", 3, 1, {}),
        ("bought late", "u", 3, -1, {"click": [0.0, 0.0], "purchase": [0.0, 1.0]}),
        ("not joined yet", "u", 3, None, {}),
        ("at the moment itself", "u", 5, -1, {}),
        ("of one event", "v", 9, -1, {}),
        ("of nobody", "w", 1, -1, {}),
    ]
    names, users, seconds, chosen, rewards = (list(column) for column in zip(*told, strict=True))
    decisions = pa.table(
        {
            "decision_id": names,
            "user_id": users,
            "timestamp": [moment(second) for second in seconds],
            "slate": [["a", "b"]] * len(told),
            "propensities": [[1.0, 1.0]] * len(told),
            "propensity_kind": ["deterministic"] * len(told),
            "policy": ["any"] * len(told),
            "chosen": pa.array(chosen, pa.int32()),
            "rewards": pa.array([list(each.items()) for each in rewards], DECISIONS.field("rewards").type),
        }
    )
    rows = [("u", "a", 1, "click"), ("u", "b", 5, "click"), ("v", "a", 3, "click")]
    earlier, _, _ = cut(small(tmp_path / "log", rows, decisions=decisions), "leave-last-one-out", tmp_path)
    assert earlier.decisions is not None
    kept = ["taken early", "shown, not taken", "not joined yet", "of one event"]
    assert earlier.decisions["decision_id"].to_pylist() == kept


@pytest.mark.parametrize(("as_of", "kept"), [(2, True), (5, False)])
def test_segments_that_know_of_later_events_are_unknown(tmp_path: Path, as_of: int, kept: bool) -> None:
    rows = [(user, item, second, "click") for user in ("u", "v") for second, item in enumerate("abc", start=1)]
    earlier, _, _ = cut(small(tmp_path / "log", rows, segments_as_of=as_of), "leave-last-one-out", tmp_path)
    assert earlier.users["segment"].to_pylist() == (["loyal"] * 2 if kept else [None] * 2)
