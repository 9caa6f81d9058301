"""R, F and M against pandas, on random logs and on Online Retail's raw table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_dataset import event, tiny_dataset

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.histories import Histories
from rec_platform.data.ingest import ingest
from rec_platform.data.segments import Rfm, rfm, rfm_of_histories, segment_users
from rec_platform.errors import InputError

DAY = 86_400


def random_log(seed: int, *, sessions: bool = False, values: bool = False) -> list[dict[str, Any]]:
    """Events at distinct moments over ten days, so that histories merge none."""
    rng = np.random.default_rng(seed)
    rows = []
    for second in rng.choice(10 * DAY, 300, replace=False):
        more: dict[str, Any] = {}
        if sessions and rng.random() < 0.8:
            more["session_id"] = f"s{rng.integers(6)}"  # shared by users: each has his own of that name
        name = str(rng.choice(["click", "purchase", "skip", "view"], p=[0.6, 0.2, 0.1, 0.1]))
        if values and name == "purchase":
            more["value"] = float(rng.integers(1, 100))
        rows.append(event(f"u{rng.integers(30)}", str(rng.choice(list("abcde"))), int(second), name, **more))
    return rows


def by_pandas(rows: list[dict[str, Any]], as_of: int) -> pd.DataFrame:
    """One row a user in order of id, straight from the definition; ``as_of`` in days since 1970."""
    log = pd.DataFrame(rows)
    log = log[log["event"].isin(["click", "purchase"]) & (log["timestamp"] < as_of * DAY * 10**6)].copy()
    day = (log["timestamp"] // (DAY * 10**6)).astype(str)
    log["visit"] = log["session_id"].fillna("day " + day) if "session_id" in log else day
    log["worth"] = log["value"].fillna(0.0) if "value" in log else 1.0
    users = log.groupby("user_id").agg(last=("timestamp", "max"), F=("visit", "nunique"), M=("worth", "sum"))
    users["R"] = as_of - users["last"] / (DAY * 10**6)
    return users.sort_index()


def check(found: Rfm, expected: pd.DataFrame) -> None:
    assert list(found.user_ids) == list(expected.index)
    np.testing.assert_allclose(found.recency, expected["R"])
    np.testing.assert_array_equal(found.frequency, expected["F"])
    np.testing.assert_allclose(found.monetary, expected["M"])


@pytest.mark.parametrize("sessions", [False, True])
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("days", [1, 4, 10, 12])
def test_as_pandas_has_it(tmp_path: Path, sessions: bool, values: bool, days: int) -> None:
    rows = random_log(days, sessions=sessions, values=values)
    found = rfm(tiny_dataset(tmp_path, rows), as_of=datetime(1970, 1, 1 + days, tzinfo=UTC))
    check(found, by_pandas(rows, days))
    assert found.frequency_is == ("sessions" if sessions else "days")
    assert found.monetary_is == ("sum_of_values" if values else "positive_events")


def test_the_moment_is_the_end_of_the_last_day_and_not_counted_itself(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path, [event("u1", "a", 0), event("u1", "b", 2 * DAY), event("u2", "a", DAY)])
    found = rfm(dataset)
    assert found.as_of == datetime(1970, 1, 4, tzinfo=UTC)  # the event of midnight is one of the day that begins
    assert found.recency.tolist() == [1, 2]
    earlier = rfm(dataset, as_of=datetime(1970, 1, 3))  # without a zone: UTC
    assert earlier.as_of == datetime(1970, 1, 3, tzinfo=UTC)
    assert (earlier.recency.tolist(), earlier.frequency.tolist()) == ([2, 1], [1, 1])
    zone = timezone(timedelta(hours=1))
    assert rfm(dataset, as_of=datetime(1970, 1, 3, 1, tzinfo=zone)).as_of == earlier.as_of


def test_later_events_change_nothing(tmp_path: Path) -> None:
    rows, moment = random_log(3, sessions=True, values=True), datetime(1970, 1, 6, tzinfo=UTC)
    before = [row for row in rows if row["timestamp"] < 5 * DAY * 10**6]
    whole, cut = (rfm(tiny_dataset(tmp_path / str(n), part), as_of=moment) for n, part in enumerate((rows, before)))
    assert whole.user_ids == cut.user_ids
    for name in ("recency", "frequency", "monetary"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_stars_are_no_worth_and_only_likes_count(tmp_path: Path) -> None:
    rows = [event("u1", "a", 1, "rating", value=5.0), event("u1", "b", 2, "rating", value=2.0)]
    rows += [event("u2", "a", 3, "rating", value=4.0), event("u3", "a", 3, "rating", value=1.0)]
    dataset = tiny_dataset(tmp_path, rows)
    found = rfm(dataset)
    assert (found.user_ids, found.monetary_is) == (("u1", "u2"), "positive_events")
    assert found.monetary.tolist() == [1, 1]
    every = rfm(dataset, rule=FeedbackRule(rating_threshold=float("-inf")))
    assert (every.user_ids, every.monetary.tolist()) == (("u1", "u2", "u3"), [2, 1, 1])
    bought = rfm(tiny_dataset(tmp_path / "more", [*rows, event("u3", "c", 4, "purchase", value=9.5)]))
    assert (bought.monetary_is, bought.monetary.tolist()) == ("sum_of_values", [0, 0, 9.5])


@pytest.mark.parametrize("sessions", [False, True])
def test_histories_give_the_same_where_there_are_no_values(tmp_path: Path, sessions: bool) -> None:
    dataset = tiny_dataset(tmp_path, random_log(8, sessions=sessions))
    histories = Histories.build(dataset, dataset.catalog())
    for as_of in (None, 4 * DAY * 10**6):
        found = rfm_of_histories(histories, as_of=as_of)
        same = rfm(dataset, as_of=None if as_of is None else datetime(1970, 1, 5, tzinfo=UTC))
        assert found.user_ids == same.user_ids
        for name in ("recency", "frequency", "monetary"):
            np.testing.assert_array_equal(getattr(found, name), getattr(same, name))
        assert (found.frequency_is, found.monetary_is) == (same.frequency_is, "positive_events")


def test_nothing_to_count(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path, [event("u1", "a", DAY, "skip"), event("u2", "a", 3 * DAY)])
    for day in (1, 2):
        with pytest.raises(InputError, match=r"as_of.*not after the log's first event"):
            rfm(dataset, as_of=datetime(1970, 1, day, tzinfo=UTC))
    with pytest.raises(InputError, match="no positive event before 1970-01-03"):
        rfm(dataset, as_of=datetime(1970, 1, 3, tzinfo=UTC))
    histories = Histories.build(dataset, dataset.catalog())
    with pytest.raises(InputError, match="no positive event"):
        rfm_of_histories(histories, as_of=2 * DAY * 10**6)
    with pytest.raises(InputError, match="no histories"):
        rfm_of_histories(histories.select(np.zeros(0, dtype=np.int64)))


@pytest.fixture(scope="module")
def retail(online_retail: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ingest(online_retail, "online-retail", tmp_path_factory.mktemp("retail") / "d").dataset


def test_published_customers_of_online_retail(retail: Dataset, online_retail: Path) -> None:
    found = rfm(retail)
    assert found.as_of == datetime(2011, 12, 10, tzinfo=UTC)
    assert (len(found), found.frequency_is, found.monetary_is) == (4_338, "sessions", "sum_of_values")
    assert found.monetary.sum() == pytest.approx(8_911_407.90, abs=0.005)
    assert found.frequency.sum() == 18_532
    known = {"12346": (325, 1, 77_183.60), "12347": (2, 7, 4_310.00), "12348": (75, 4, 1_797.24)}
    for user, (days, orders, spent) in known.items():
        row = found.user_ids.index(user)
        assert (int(found.recency[row]), found.frequency[row]) == (days, orders)
        assert found.monetary[row] == pytest.approx(spent)

    raw = pd.read_csv(online_retail / "online_retail.csv.gz", dtype=str)
    raw["Quantity"], raw["UnitPrice"] = raw["Quantity"].astype(int), raw["UnitPrice"].astype(float)
    raw = raw[~raw["InvoiceNo"].str.startswith("C") & (raw["Quantity"] > 0) & (raw["UnitPrice"] > 0)]
    raw = raw[raw["CustomerID"].notna()].assign(spent=raw["Quantity"] * raw["UnitPrice"])
    users = raw.groupby("CustomerID").agg(last=("InvoiceDate", "max"), F=("InvoiceNo", "nunique"), M=("spent", "sum"))
    users["R"] = (pd.Timestamp("2011-12-10") - pd.to_datetime(users["last"])) / pd.Timedelta(days=1)
    check(found, users.sort_index())


def test_segments_of_online_retail(retail: Dataset) -> None:
    found = rfm(retail)
    parts = {part.name: part for part in segment_users(found).summary()}
    assert len(parts) == 11
    assert sum(part.users for part in parts.values()) == 4_338
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    assert {name: parts[name].users for name in ("champions", "at_risk", "lost")} == {
        "champions": 632, "at_risk": 597, "lost": 366,
    }  # fmt: skip
    assert max(parts, key=lambda name: parts[name].monetary) == "champions"
    assert max(parts, key=lambda name: parts[name].recency) == "lost"
    quarters = {part.name: part.users for part in segment_users(found, "kmeans").summary()}
    assert quarters == {"q1": 1_798, "q2": 1_099, "q3": 1_015, "q4": 426}
