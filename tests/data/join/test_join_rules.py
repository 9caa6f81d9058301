"""Each rule of the join by a log of a few rows, with the answer worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from join_logs import MINUTE, START, decision, decisions_table, event, events_table

from rec_platform.data.join import EVENTS, JOINED, ActionReward, Joined, RewardSpec, join, load_reward_spec
from rec_platform.errors import InputError

NEVER = START + 10**15
Rows = list[dict[str, Any]]


def joined(decisions: Rows, events: Rows, spec: RewardSpec | None = None, now: int = NEVER) -> Joined:
    return join(decisions_table(decisions), events_table(events), spec or RewardSpec(), now)


def row_of(result: Joined, place: int = 0) -> dict[str, Any]:
    row = result.rows.slice(place, 1).to_pylist()[0]
    return row | {"rewards": None if row["rewards"] is None else dict(row["rewards"])}


def test_best_of_a_slot_and_the_slot_chosen() -> None:
    events = [
        event("e1", "d", 1, item="a"),
        event("e2", "d", 2, item="b", action="purchase"),
        event("e3", "d", 3, item="b", action="click"),
        event("e4", "d", 3, item="c", action="stare"),
    ]
    row = row_of(joined([decision("d", 0)], events))
    assert row["slot_rewards"] == [1.0, 5.0, 0.0]
    assert (row["reward"], row["chosen"], row["joined_events"], row["joined_interactions"]) == (6.0, 1, 4, 4)
    assert row["rewards"] == {
        "click": [1, 1, 0], "purchase": [0, 1, 0], "stare": [0, 0, 1], "reward": [1, 5, 0],
    }  # fmt: skip
    assert row["closed_at"] == datetime.fromtimestamp((START + 30 * MINUTE) / 1e6, UTC)
    assert (row["closed_by"], row["active"], row["reward_spec"]) == ("deadline", True, RewardSpec().version)


@pytest.mark.parametrize(("combine", "expected"), [("best", 4.0), ("sum", 3.5), ("last", -0.5)])
def test_combinations_and_values(combine: Any, expected: float) -> None:
    spec = RewardSpec(actions={"pay": ActionReward(base=1.0, per_value=0.5), "skip": -0.5}, combine=combine)
    events = [
        event("e2", "d", 2, item="a", action="skip"),
        event("e1", "d", 1, item="a", action="pay", value=6.0),
    ]
    assert row_of(joined([decision("d", 0)], events, spec))["slot_rewards"] == [expected, 0.0, 0.0]
    assert row_of(joined([decision("d", 0)], events[:1], spec))["chosen"] == -1


def test_events_of_one_moment_count_as_they_arrived() -> None:
    spec = RewardSpec(actions={"click": 1.0, "like": 1.0, "skip": -1.0}, combine="last")
    events = [
        event("e9", "d", 1, item="b", action="like"),
        event("e8", "d", 1, item="a"),
        event("e7", "d", 1, item="a", action="skip"),
        event("e6", "d", 1, "reward", item="c", value=2.0, name="x"),
        event("e5", "d", 1, "reward", item="c", value=3.0, name="y"),
    ]
    row = row_of(joined([decision("d", 0)], events, spec))
    assert (row["slot_rewards"], row["chosen"]) == ([-1.0, 1.0, 3.0], 1)
    row = row_of(joined([decision("d", 0)], events[::-1], spec))
    assert (row["slot_rewards"], row["chosen"]) == ([1.0, 1.0, 2.0], 0)


def test_nothing_came_of_it() -> None:
    row = row_of(joined([decision("d", 0)], [], RewardSpec(default_reward=-2.0)))
    assert (row["slot_rewards"], row["reward"], row["chosen"]) == ([-2.0] * 3, -6.0, -1)
    assert row["rewards"] == {"reward": [-2.0] * 3}


@pytest.mark.parametrize(
    ("told", "slots", "total"), [("replace", [0.25, 0.0, 0.0], 9.0), ("add", [1.75, 0.0, 0.0], 10.75)]
)
def test_rewards_that_callers_told(told: Any, slots: list[float], total: float) -> None:
    events = [
        event("e1", "d", 1, item="a"),
        event("e3", "d", 3, "reward", item="a", value=0.25, name="margin"),
        event("e2", "d", 2, "reward", item="a", value=0.5, name="margin"),
        event("e4", "d", 4, "reward", value=9.0, name="slate"),
    ]
    row = row_of(joined([decision("d", 0)], events, RewardSpec(told=told)))
    assert (row["slot_rewards"], row["reward"], row["joined_rewards"]) == (slots, total, 3)
    assert row["rewards"]["reward:margin"] == [0.25 if told == "replace" else 0.75, 0, 0]
    named = row_of(joined([decision("d", 0)], events, RewardSpec(told=told, told_names=("other",))))
    assert (named["slot_rewards"], named["reward"]) == ([1.0, 0.0, 0.0], 1.0)


def test_the_window_with_its_bounds() -> None:
    minutes = [-2.001, -2, -0.5, 0, 30, 30.001]
    events = [event(f"e{n}", "d", minute, item="a", action=f"a{n}") for n, minute in enumerate(minutes)]
    result = joined([decision("d", 0)], events)
    assert sorted(row_of(result)["rewards"]) == ["a1", "a2", "a3", "a4", "reward"]
    counts = result.counts
    assert (counts.too_early, counts.early, counts.matched, counts.late) == (1, 2, 4, 1)


def test_a_row_is_open_until_its_placement_is_done() -> None:
    spec = RewardSpec(placement_wait_seconds={"cart": 600.0})
    decisions = [decision("home", 0, placement="home"), decision("cart", 0, placement="cart")]
    events = [event("e1", "home", 5, item="a"), event("e2", "cart", 11, item="a")]
    early = joined(decisions, events, spec, START + 10 * MINUTE - 1)
    assert (len(early.rows), early.counts.open_rows, early.counts.pending) == (0, 2, 2)
    middle = joined(decisions, events, spec, START + 10 * MINUTE)
    assert middle.rows["decision_id"].to_pylist() == ["cart"]
    assert (middle.counts.open_rows, middle.counts.pending, middle.counts.late) == (1, 1, 1)


def test_the_end_of_an_episode_closes_its_rows() -> None:
    decisions = [
        decision("d1", 0, session_id="s"),
        decision("d2", 5, session_id="s"),
        decision("d3", 7, session_id="s"),  # a new episode under the old name
        decision("d4", 0, session_id="s", user_id="other"),
        decision("d5", 0),
    ]
    events = [
        event("end", None, 6, "episode_end", session_id="s"),
        event("e1", "d1", 6, item="a"),
        event("e2", "d2", 6.5, item="a"),
        event("lost", None, 6, "episode_end", session_id="nobody's"),
    ]
    result = joined(decisions, events, now=START + 8 * MINUTE)
    assert result.rows["decision_id"].to_pylist() == ["d1", "d2"]
    assert result.rows["closed_by"].to_pylist() == ["episode_end"] * 2
    assert result.rows["reward"].to_pylist() == [1.0, 0.0]
    assert (result.counts.matched, result.counts.late, result.counts.orphans_without_id) == (2, 1, 1)
    named = joined([decision("d5", 0), decision("d6", 1)], [event("end", "d5", 6, "episode_end")])
    assert named.rows["closed_by"].to_pylist() == ["episode_end", "deadline"]


def test_the_first_of_two_with_one_id_counts() -> None:
    events = [event("e", "d", 2, item="b"), event("e", "d", 1, item="a")]
    result = joined([decision("d", 0), decision("d", 1, "xyz")], events)
    assert row_of(result)["slot_rewards"] == [0.0, 1.0, 0.0]
    assert (result.counts.duplicates, result.counts.duplicate_decisions, result.counts.rows) == (1, 1, 1)


def test_events_without_a_decision_and_items_that_were_not_shown() -> None:
    events = [
        event("e1", None, 1, item="a"),
        event("e2", "gone", 1, item="a"),
        event("e3", "d", 1, item="z"),
        event("e4", "d", 1, "impression", items=["z"]),
        event("e5", "d", 1, "reward", item="z", value=1.0),
    ]
    result = joined([decision("d", 0)], events)
    assert (result.counts.orphans_without_id, result.counts.orphans_of_unknown_id) == (1, 1)
    assert (result.counts.unknown_items, result.counts.matched) == (3, 0)
    assert result.health.orphan_rate == pytest.approx(2 / 5)
    assert row_of(result)["joined_events"] == 0


def test_impressions() -> None:
    events = [
        event("e1", "d", 1, "impression", items=["b", "a", "z"], viewed=[True, False, True]),
        event("e2", "d", 2, "impression", items=["c"]),
        event("e3", "whole", 1, "impression"),
    ]
    result = joined([decision("d", 0), decision("whole", 1), decision("none", 2)], events)
    channels = [row_of(result, place)["rewards"].get("impression") for place in range(3)]
    assert channels == [[0, 1, 1], [1, 1, 1], None]
    assert result.rows["joined_impressions"].to_pylist() == [2, 1, 0]
    assert result.rows["chosen"].to_pylist() == [-1] * 3


def test_deferred_activation() -> None:
    decisions = [decision(f"d{n}", n, deferred=n < 3) for n in range(4)]
    events = [
        event("e0", "d0", 1, "impression"),
        event("e1", "d1", 2, item="a"),
        event("e2", "d2", 3, "reward", value=1.0),  # no evidence that anybody saw it
    ]
    result = joined(decisions, events)
    assert result.rows["active"].to_pylist() == [True, True, False, True]
    assert result.counts.inactive_rows == 1
    row = row_of(result, 2)
    assert [row[name] for name in ("chosen", "reward", "slot_rewards", "rewards")] == [None] * 4
    assert row["joined_rewards"] == 1


def test_an_action_named_reward_is_no_clash() -> None:
    row = row_of(joined([decision("d", 0)], [event("e", "d", 1, item="a", action="reward")]))
    assert row["rewards"] == {"action:reward": [1, 0, 0], "reward": [0, 0, 0]}


def test_the_log_keeps_its_columns_and_order() -> None:
    table = decisions_table([decision("b", 1), decision("a", 1), decision("c", 0)])
    table = table.append_column("scores", pa.array([[1.0], [2.0], [3.0]]))
    table = table.append_column("model_version", pa.array(["7"] * 3)).drop_columns(["policy_version", "deferred"])
    rows = join(table, events_table([]), RewardSpec(), NEVER).rows
    assert rows.column_names[: len(JOINED)] == JOINED.names
    assert rows.schema.field("slate") == JOINED.field("slate")
    assert rows["decision_id"].to_pylist() == ["c", "a", "b"]
    assert rows["scores"].to_pylist() == [[3.0], [2.0], [1.0]]
    assert rows["policy_version"].to_pylist() == ["7"] * 3


def test_empty_logs_and_empty_slates() -> None:
    assert len(joined([], []).rows) == 0
    assert joined([], [event("e", "d", 1, item="a")]).counts.orphans_of_unknown_id == 1
    result = joined([decision("d", 0, "")], [event("e", "d", 1, item="a"), event("i", "d", 1, "impression")])
    assert (row_of(result)["slot_rewards"], row_of(result)["reward"]) == ([], 0.0)


def test_files_may_name_columns_as_datasets_do() -> None:
    table = pa.table(
        {
            "event_id": ["e"], "type": ["interaction"], "decision_id": ["d"], "item_id": ["a"],
            "action": ["click"], "timestamp": ["2023-11-14T00:05:00Z"],
        }
    )  # fmt: skip
    moment = int(datetime(2023, 11, 14, tzinfo=UTC).timestamp() * 1e6)
    log = decisions_table([decision("d", 0, timestamp=moment)])
    assert join(log, table, RewardSpec(), NEVER).rows["reward"].to_pylist() == [1.0]


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("decisions", {"slate": None}, "decisions.slate: 1 rows have none"),
        ("decisions", {"propensities": [0.5]}, "shows 3 items and has 1 propensities"),
        ("decisions", {"timestamp": None}, "decisions.timestamp: row 1 has no time"),
        ("events", {"event_id": None}, "events.event_id: 1 rows have none"),
        ("events", {"type": "clik"}, "events.type: 'clik' is unknown"),
        ("events", {"action": None}, "events.action: interaction 'e' has none"),
        ("events", {"type": "reward"}, "events.value: reward 'e' has no finite value"),
        ("events", {"value": float("inf")}, "events.value: event 'e' has an infinite value"),
    ],
)
def test_bad_input(table: str, change: dict[str, Any], words: str) -> None:
    nullable = pa.schema([field.with_nullable(True) for field in EVENTS])
    events = pa.Table.from_pylist([event("e", "d", 1, item="a") | (change if table == "events" else {})], nullable)
    log = decisions_table([decision("d", 0)])
    if table == "decisions":
        name, value = next(iter(change.items()))
        field = log.schema.field(name).with_nullable(True)
        log = log.set_column(log.column_names.index(name), field, pa.array([value], field.type))
    with pytest.raises(InputError) as caught:
        join(log, events, RewardSpec(), NEVER)
    assert words in str(caught.value)


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match=r"decisions\.propensities: no such column"):
        join(decisions_table([]).drop_columns(["propensities"]), events_table([]), RewardSpec(), NEVER)
    with pytest.raises(InputError, match=r"events\.recommendation_id: no such column"):
        join(decisions_table([]), events_table([]).drop_columns(["recommendation_id"]), RewardSpec(), NEVER)


def test_a_spec_and_its_version(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("name: shop\nactions: {click: 1, pay: {per_value: 0.1}}\nplacement_wait_seconds: {home: 60}\n")
    spec = load_reward_spec(path)
    assert spec == RewardSpec(
        name="shop", actions={"click": 1.0, "pay": ActionReward(per_value=0.1)}, placement_wait_seconds={"home": 60.0}
    )
    assert spec.version == load_reward_spec(path).version
    assert spec.version != spec.model_copy(update={"combine": "sum"}).version
    assert len(spec.version) == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("combin: best", "combin: is not a known key (did you mean 'combine'?)"),
        ("combine: worst", "combine: "),
        ("wait_seconds: -1", "wait_seconds: "),
        ("placement_wait_seconds: {home: -1}", "placement_wait_seconds.home: "),
        ("actions: {click: .nan}", "actions.click"),
        ("default_reward: .inf", "default_reward: "),
    ],
)
def test_bad_specs(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_reward_spec(tmp_path / "spec.yaml")
    assert words in str(caught.value)
