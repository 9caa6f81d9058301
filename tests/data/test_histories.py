from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.data.histories import Histories
from rec_platform.data.ingest import ingest
from rec_platform.errors import InputError

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
    )


def oracle(events: list[tuple[int, int, int, float]]) -> dict[str, list[tuple[int, int, float]]]:
    """User id -> (timestamp, item, feedback) by the stated tie rule, with dicts and loops."""
    merged: dict[tuple[int, int, int], float] = {}
    for user, item, time, feedback in events:
        key = (user, time, item)
        merged[key] = min(feedback, merged.get(key, 1.0))
    out: dict[str, list[tuple[int, int, float]]] = {}
    for user, time, item in sorted(merged):
        out.setdefault(f"u{user}", []).append((time, item, merged[user, time, item]))
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


LOG = "user_id,item_id,timestamp,event,session_id,propensity\n"


def test_the_row_that_stands_gives_propensity_and_session(write_log, tmp_path):
    rows = "u,a,5,click,s1,0.5\nu,a,5,purchase,s2,0.25\nu,b,5,click,s3,0.1\nu,b,5,skip,s1,0.2\nu,c,9,click,s3,\n"
    dataset = ingest(write_log(LOG + rows + "v,a,1,view,s9,0.3\n"), "csv", tmp_path / "d").dataset
    histories = Histories.build(dataset, dataset.catalog())
    assert histories.feedback.tolist() == [1, -1, 1]
    assert histories.propensities.tolist() == pytest.approx([0.5, 0.2, np.nan], nan_ok=True)
    assert histories.sessions.tolist() == [0, 0, 1]


def test_a_session_is_one_users_and_events_without_one_share_the_day(write_log, tmp_path):
    day = 86_400
    rows = [
        "u,a,1,click,s1,", f"u,b,{day + 1},click,s1,", "u,c,2,click,,", "u,d,3,click,,", f"u,e,{day + 2},click,,",
        "v,a,1,click,s1,", "v,b,2,click,,", "v,c,3,click,s2,",
    ]  # fmt: skip
    dataset = ingest(write_log(LOG + "\n".join(rows)), "csv", tmp_path / "d").dataset
    histories = Histories.build(dataset, dataset.catalog())
    named = {
        (user, dataset.catalog().item_ids[item]): session
        for user, item, session in zip(
            np.repeat(histories.user_ids, histories.counts), histories.items, histories.sessions, strict=True
        )
    }
    assert named == {
        ("u", "a"): 0, ("u", "c"): 1, ("u", "d"): 1, ("u", "b"): 0, ("u", "e"): 2,
        ("v", "a"): 3, ("v", "b"): 4, ("v", "c"): 5,
    }  # fmt: skip
    assert histories.propensities is None
    assert histories.sessions.dtype == np.int64
    second = histories.select(np.array([1]))
    assert second.sessions.tolist() == [3, 4, 5]
    assert second.propensities is None


def test_a_log_without_sessions_and_propensities_has_none(write_log, tmp_path):
    dataset = ingest(write_log("user_id,item_id,timestamp\nu,a,1\nv,a,1\n"), "csv", tmp_path / "d").dataset
    histories = Histories.build(dataset, dataset.catalog())
    assert histories.propensities is None
    assert histories.sessions is None
    assert histories.select(np.array([0])).sessions is None


@given(EVENTS, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_columns_stay_with_their_event(events, seed):
    """Propensity and session, made of the event itself, still fit it after sorting, merging and selecting."""
    rng = np.random.default_rng(seed)
    users, items, times, feedback = (np.array([e[i] for e in events], dtype=np.int64) for i in range(4))
    histories = Histories.from_events(
        user_ids=("u0", "u1", "u2", "u3"),
        users=users,
        items=items.astype(np.int32),
        feedback=feedback.astype(np.float32),
        timestamps=times,
        propensities=(1 + items + 10 * times + 100 * users + 1000 * (feedback > 0)) / 10_000,
        sessions=times // 2,
    )
    part = histories.select(rng.permutation(len(histories)))
    own = np.array([int(name[1]) for name in part.user_ids], dtype=np.int64)[part.user_of_event]
    expected = 1 + part.items + 10 * part.timestamps + 100 * own + 1000 * (part.feedback > 0)
    assert part.propensities == pytest.approx(expected / 10_000)
    pairs = set(zip(own, part.timestamps // 2, part.sessions, strict=True))
    assert len(pairs) == len({pair[:2] for pair in pairs}) == len({pair[2] for pair in pairs})
    assert sorted({pair[2] for pair in pairs}) == list(range(len(pairs)))


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


def test_before_keeps_the_first_events_of_each():
    histories = build([(0, 1, 1, 1.0), (0, 2, 2, -1.0), (1, 0, 1, 1.0), (3, 3, 4, 1.0), (3, 1, 5, 1.0), (3, 0, 6, 1.0)])
    first = histories.before(np.array([1, 0, 2]))
    assert first.user_ids == ("u0", "u3")
    assert first.offsets.tolist() == [0, 1, 3]
    assert first.items.tolist() == [1, 3, 1]
    assert first.timestamps.tolist() == [1, 4, 5]
