from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

CATALOG = Catalog(
    item_ids=("b", "a", "d", "c"),
    titles=("", "", "", ""),
    features=np.zeros((4, 0), dtype=np.float32),
    feature_names=(),
    popularity=np.full(4, 0.25, dtype=np.float32),
)

EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4), st.sampled_from([-1.0, 1.0])), max_size=40
)


def build(events: list[tuple[int, int, int, float]]) -> Histories:
    columns = list(zip(*events, strict=True)) if events else [[], [], [], []]
    return Histories.from_events(
        user_ids=("u0", "u1", "u2", "u3"),
        users=np.array(columns[0], dtype=np.int64),
        items=np.array(columns[1], dtype=np.int32),
        timestamps=np.array(columns[2], dtype=np.int64),
        feedback=np.array(columns[3], dtype=np.float32),
        catalog=CATALOG,
    )


def oracle(events: list[tuple[int, int, int, float]]) -> dict[str, list[tuple[int, int, float]]]:
    """User id -> (timestamp, item, feedback) by the stated tie rule, with dicts and loops."""
    merged: dict[tuple[int, int, str], float] = {}
    for user, item, time, feedback in events:
        key = (user, time, CATALOG.item_ids[item])
        merged[key] = min(feedback, merged.get(key, 1.0))
    out: dict[str, list[tuple[int, int, float]]] = {}
    for user, time, name in sorted(merged):
        out.setdefault(f"u{user}", []).append((time, CATALOG.item_ids.index(name), merged[user, time, name]))
    return out


@given(EVENTS, st.integers(0, 6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_histories_and_windows_match_a_brute_force_oracle(events, length, random):
    histories, expected = build(events), oracle(events)
    assert histories.user_ids == tuple(sorted(expected))
    rows, ends, windows, feedbacks = [], [], [], []
    for row, name in enumerate(histories.user_ids):
        own = expected[name]
        span = slice(histories.offsets[row], histories.offsets[row + 1])
        assert histories.timestamps[span].tolist() == [time for time, _, _ in own]
        for end in range(len(own) + 1):
            past = own[max(0, end - length) : end]
            padding = length - len(past)
            rows.append(row)
            ends.append(end)
            windows.append([-1] * padding + [item for _, item, _ in past])
            feedbacks.append([0.0] * padding + [feedback for _, _, feedback in past])
    order = list(range(len(rows)))
    random.shuffle(order)
    history, feedback = histories.window(np.array(rows, int)[order], np.array(ends, int)[order], length)
    assert history.dtype == np.int32
    assert feedback.dtype == np.float32
    assert history.tolist() == [windows[i] for i in order]
    assert feedback.tolist() == [feedbacks[i] for i in order]


@given(EVENTS, st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_examples_and_select(events, least):
    histories = build(events)
    rows, positions = histories.examples(min_history=least)
    expected = [(u, p) for u in range(len(histories)) for p in range(least, histories.counts[u])]
    assert list(zip(rows, positions, strict=True)) == expected
    chosen = np.arange(len(histories))[::-2]
    part = histories.select(chosen)
    assert part.user_ids == tuple(histories.user_ids[u] for u in chosen)
    for new, old in enumerate(chosen):
        a = slice(part.offsets[new], part.offsets[new + 1])
        b = slice(histories.offsets[old], histories.offsets[old + 1])
        assert part.items[a].tolist() == histories.items[b].tolist()
        assert part.timestamps[a].tolist() == histories.timestamps[b].tolist()
    rows, _ = histories.examples(users=chosen)
    assert set(rows.tolist()) == set(chosen.tolist())


def test_out_of_range_is_an_error():
    histories = build([(0, 0, 0, 1.0), (1, 1, 1, 1.0)])
    for users, ends in (([2], [0]), ([-1], [0]), ([0], [2]), ([0], [-1])):
        with pytest.raises(InputError):
            histories.window(np.array(users), np.array(ends), 3)


def test_build_keeps_only_what_the_rule_counts(write_log, tmp_path):
    text = "user_id,item_id,timestamp,event,value\nu2,a,5,click,\nu2,b,5,rating,2\nu2,a,5,purchase,3\nu1,a,1,view,\n"
    dataset = ingest(write_log(text + "u3,b,2,dislike,\n"), "csv", tmp_path / "d").dataset
    histories = Histories.build(dataset, dataset.catalog())
    assert histories.user_ids == ("u2", "u3")
    assert histories.items.tolist() == [0, 1, 1]
    assert histories.feedback.tolist() == [1, -1, -1]
    assert histories.timestamps.tolist() == [5_000_000, 5_000_000, 2_000_000]


def test_generated_decisions_store_the_history_of_their_user(generated):
    catalog = generated.catalog()
    histories = Histories.build(generated, catalog)
    row = {name: i for i, name in enumerate(histories.user_ids)}
    for decision in generated.decisions.slice(0, 200).to_pylist():
        if decision["user_id"] not in row:
            assert decision["history"] == []
            continue
        user = row[decision["user_id"]]
        times = histories.timestamps[histories.offsets[user] : histories.offsets[user + 1]]
        moment = round(decision["timestamp"].timestamp() * 1e6)
        end = int((times < moment).sum())
        window, _ = histories.window(np.array([user]), np.array([end]), 20)
        assert decision["history"] == [catalog.item_ids[i] for i in window[0] if i >= 0]
        assert decision["history_feedback"] == [1.0] * len(decision["history"])
