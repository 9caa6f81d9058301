from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rec_platform.data.ingest import ingest
from rec_platform.data.logged_decisions import LoggedDecisions
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError

HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
    "user-item_affinity_0,user-item_affinity_1,user-item_affinity_2\n"
)
ROWS = [
    "0,2019-11-24 00:00:05.004101+00:00,0,1,0,0.5,a,b,c,d,0.0,0.0,1.0",
    "1,2019-11-24 00:00:05.104101+00:00,2,2,1,0.25,a,b,c,d,0.0,0.0,1.0",
    "2,2019-11-24 01:00:06+00:00,1,3,0,0.125,a,b,c,e,0.0,0.0,0.0",
    "2,2019-11-24 01:00:06+00:00,1,3,0,0.125,a,b,c,e,0.0,0.0,0.0",
]
ITEM_CONTEXT = (
    ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n"
    "0,0,-0.67,x,x,z\n1,1,0.5,y,x,z\n2,2,0.25,,x,z\n3,3,1.5,y,v,w\n"
)


def context(*features: str) -> str:
    return hashlib.blake2b("|".join(features).encode(), digest_size=8).hexdigest()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """random/men: four impressions of two contexts, of three items out of four."""
    folder = tmp_path / "obd" / "random" / "men"
    folder.mkdir(parents=True)
    (folder / "men.csv").write_text(HEADER + "\n".join(ROWS) + "\n")
    (folder / "item_context.csv").write_text(ITEM_CONTEXT)
    return folder


@pytest.mark.parametrize(
    ("policy", "campaign", "items", "clicks", "contexts"),
    [
        ("random", "men", 34, 46, 230),
        ("random", "women", 46, 46, 205),
        ("bts", "men", 34, 69, 238),
        ("bts", "women", 46, 46, 212),
    ],
)
def test_the_published_samples(
    open_bandit: Path, tmp_path: Path, policy: str, campaign: str, items: int, clicks: int, contexts: int
) -> None:
    folder = open_bandit / policy / campaign
    source = pd.read_csv(folder / f"{campaign}.csv.gz")
    result = ingest(folder, "open-bandit", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (10_000, 10_000, 0)
    assert (result.users, result.items, result.decisions) == (contexts, items, 10_000)
    dataset = result.dataset
    assert dataset.manifest.events == {"impression": 10_000, "click": clicks}
    assert result.interactions == 10_000 + clicks
    assert dataset.decisions is not None
    decisions = dataset.decisions
    propensities = np.array(decisions["propensities"].to_pylist())
    if policy == "random":
        assert (propensities == 1 / items).all()
    np.testing.assert_array_equal(propensities[:, 0], source["propensity_score"])
    assert [int(slate[0]) for slate in decisions["slate"].to_pylist()] == source["item_id"].tolist()
    assert decisions["reward"].to_pylist() == source["click"].tolist()
    assert [dict(pairs)["position"] for pairs in decisions["context"].to_pylist()] == source["position"].tolist()
    seconds = decisions["timestamp"].cast("int64").to_numpy()
    np.testing.assert_array_equal(seconds, pd.to_datetime(source["timestamp"]).dt.as_unit("us").astype("int64"))
    assert decisions["policy"].unique().to_pylist() == [policy]
    weighted = dataset.interactions.to_pandas().query("event == 'click'")["propensity"]
    assert sorted(weighted) == sorted(source.loc[source["click"] == 1, "propensity_score"])


def test_a_row_is_an_impression_a_decision_and_perhaps_a_click(small: Path, tmp_path: Path) -> None:
    result = ingest(small, "open-bandit", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.interactions, result.decisions) == (4, 4, 5, 4)
    dataset, first, second = result.dataset, context("a", "b", "c", "d"), context("a", "b", "c", "e")
    assert dataset.users["user_id"].to_pylist() == sorted([first, second])
    log = dataset.interactions.select(["user_id", "item_id", "event", "propensity", "value", "session_id"]).to_pylist()
    assert [tuple(row.values()) for row in log] == [
        (first, "0", "impression", 0.5, None, None),
        (first, "2", "click", 0.25, None, None),
        (first, "2", "impression", 0.25, None, None),
        (second, "1", "impression", 0.125, None, None),  # an equal row is an impression of its own
        (second, "1", "impression", 0.125, None, None),
    ]
    assert dataset.decisions is not None
    clicked = dataset.decisions.to_pylist()[1]
    assert clicked.pop("timestamp").isoformat() == "2019-11-24T00:00:05.104101+00:00"
    assert clicked == {
        "decision_id": "2", "user_id": first, "session_id": None, "candidates": ["0", "1", "2", "3"], "slate": ["2"],
        "propensities": [0.25], "propensity_kind": "slot_marginal", "policy": "random", "policy_version": None,
        "history": None, "history_feedback": None, "context": [("position", 2.0)], "chosen": 0,
        "rewards": [("click", [1.0])], "reward": 1.0, "previous_decision_id": None,
    }  # fmt: skip
    other = dataset.decisions.to_pylist()[0]
    assert (other["chosen"], other["rewards"], other["reward"]) == (-1, [("click", [0.0])], 0.0)
    assert dataset.items["category"].to_pylist() == [
        ["item_feature_1:x", "item_feature_2:x", "item_feature_3:z"],
        ["item_feature_1:y", "item_feature_2:x", "item_feature_3:z"],
        ["item_feature_2:x", "item_feature_3:z"],
        ["item_feature_1:y", "item_feature_2:v", "item_feature_3:w"],
    ]
    assert "blake2b" in dataset.manifest.source.parameters["user_id"]


def test_the_policy_is_the_name_of_the_folder_above(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def policy(source: Path) -> str:
        dataset = ingest(source, "open-bandit", tmp_path / "d").dataset
        assert dataset.decisions is not None
        (name,) = dataset.decisions["policy"].unique().to_pylist()
        return str(name)

    assert policy(small / "men.csv") == "random"
    monkeypatch.chdir(small)
    assert policy(Path(".")) == "random"
    assert policy(Path("men.csv")) == "random"
    (tmp_path / "obd" / "random").rename(tmp_path / "obd" / "bts")
    assert policy(tmp_path / "obd/bts/men") == "bts"
    (tmp_path / "obd/bts/men").rename(tmp_path / "obd/mine")
    assert policy(tmp_path / "obd/mine") == "unknown"


BAD = [
    ("0,never,0,1,1,0.5,a,b,c,d,0,0,0", "bad_timestamp"),
    ("0,2999-11-24 00:00:05+00:00,0,1,1,0.5,a,b,c,d,0,0,0", "future_timestamp"),
    ("0,2019-11-24 00:00:05+00:00,,1,0,0.5,a,b,c,d,0,0,0", "missing_item_id"),
    ("0,2019-11-24 00:00:05+00:00,9,1,1,0.5,a,b,c,d,0,0,0", "unknown_item"),
    ("0,2019-11-24 00:00:05+00:00,0,0,1,0.5,a,b,c,d,0,0,0", "bad_position"),
    ("0,2019-11-24 00:00:05+00:00,0,left,0,0.5,a,b,c,d,0,0,0", "bad_position"),
    ("0,2019-11-24 00:00:05+00:00,0,1,2,0.5,a,b,c,d,0,0,0", "bad_click"),
    ("0,2019-11-24 00:00:05+00:00,0,1,,0.5,a,b,c,d,0,0,0", "bad_click"),
    ("0,2019-11-24 00:00:05+00:00,0,1,1,,a,b,c,d,0,0,0", "missing_propensity"),
    ("0,2019-11-24 00:00:05+00:00,0,1,1,0,a,b,c,d,0,0,0", "bad_propensity"),
    ("0,2019-11-24 00:00:05+00:00,0,1,0,1.5,a,b,c,d,0,0,0", "bad_propensity"),
    ("0,2019-11-24 00:00:05+00:00,0,1,1,0.5,a,,c,d,0,0,0", "missing_user_id"),
    ("0,2019-11-24 00:00:05+00:00,0,1,1,0.5,a,b,c,d", "malformed_row"),
]


def test_a_rejected_row_is_neither_event_nor_decision_and_counts_once(small: Path, tmp_path: Path) -> None:
    (small / "men.csv").write_text(HEADER + "\n".join([*ROWS, *(row for row, _ in BAD)]) + "\n")
    result = ingest(small, "open-bandit", tmp_path / "d")
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (4 + len(BAD), 4, len(BAD))
    assert (result.interactions, result.decisions) == (5, 4)
    rows = pq.read_table(result.dataset.folder / "rejected/interactions.parquet").to_pylist()
    assert [(row["row_number"], row["reason"]) for row in rows] == [
        (number, reason) for number, (_, reason) in enumerate(BAD, start=5)
    ]
    assert '"timestamp": "never"' in rows[0]["row"]
    assert list(result.dataset.manifest.rejected) == ["interactions"]
    assert result.dataset.decisions is not None
    assert result.dataset.decisions["decision_id"].to_pylist() == ["1", "2", "3", "4"]


def test_exposures_and_logged_decisions_are_those_of_contexts_that_clicked(open_bandit: Path, tmp_path: Path) -> None:
    """Both hang on histories, which users without a response do not have: 199 of 230 contexts fall out here."""
    source = pd.read_csv(open_bandit / "random/men/men.csv.gz")
    source["user"] = source[[f"user_feature_{n}" for n in range(4)]].agg("|".join, axis=1)
    kept = source[source["user"].isin(source.loc[source["click"] == 1, "user"])]
    dataset = ingest(open_bandit / "random/men", "open-bandit", tmp_path / "d").dataset
    log = UserLog.read(dataset)
    exposures = log.exposures
    assert exposures is not None
    assert (len(exposures), len(log)) == (len(kept), kept["user"].nunique()) == (5_669, 31)
    assert exposures.channels == ("click",)
    assert exposures.rewards.sum() == (exposures.chosen == 0).sum() == 46
    assert (exposures.propensities == 1 / 34).all()
    assert len(np.unique(exposures.sessions)) == len(exposures)  # each stands alone
    decisions = LoggedDecisions.build(
        log, history_length=3, max_session_slates=2, reward={"click": 1.0}, dataset=dataset
    )
    assert (len(decisions), decisions.slate_size, decisions.dropped) == (5_669, 1, 0)
    assert decisions.propensity_kind == "slot_marginal"
    assert decisions.reward.sum() == 46
    assert (decisions.following == -1).all()
    assert decisions.eligible is None  # the whole campaign: nothing is ruled out
    assert decisions.terminated.mean() > 0.99  # but for the last half hour
    assert (decisions.context == 0).all()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("men.csv", "", "the file is empty"),
        ("men.csv", HEADER, "no rows"),
        ("men.csv", HEADER + "1,2,3\n", "no row has as many fields as the header"),
        ("men.csv", HEADER.replace(",click", "") + "0\n", "no column click; it has timestamp, item_id, position, prop"),
        ("men.csv", HEADER.replace("user_feature_3", "x") + "0\n", "no column user_feature_3"),
        ("men.csv", "user_id,item_id,timestamp\nu,i,1\n", "no column position, click, propensity_score"),
        ("men.csv", HEADER + BAD[0][0] + "\n" + BAD[4][0] + "\n", "all 2 rows were rejected: bad_position 1, bad_time"),
        ("item_context.csv", "", "the file is empty"),
        ("item_context.csv", "item_id,price\n1,2\n", "no column item_feature_1, item_feature_2, item_feature_3"),
        ("item_context.csv", ITEM_CONTEXT.splitlines()[0] + "\n", "no rows"),
    ],
)
def test_a_file_that_is_another_is_refused(small: Path, tmp_path: Path, name: str, text: str, message: str) -> None:
    (small / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        ingest(small, "open-bandit", tmp_path / "d")
    assert str(small) in caught.value.field
    assert caught.value.fix
    assert not (tmp_path / "d").exists()


def test_other_folders_and_mappings_are_refused(small: Path, tmp_path: Path) -> None:
    def fails(source: Path, match: str, mapping: dict[str, str] | None = None) -> None:
        with pytest.raises(InputError, match=match) as caught:
            ingest(source, "open-bandit", tmp_path / "d", mapping=mapping)
        assert caught.value.fix
        assert not (tmp_path / "d").exists()

    fails(tmp_path, r"no all\.csv, men\.csv, women\.csv")
    fails(tmp_path / "none", "no such file or folder")
    fails(small.parent, r"no all\.csv.*only men \(give the folder of one policy and campaign, such as random/men")
    fails(small.parent.parent, "only random")
    fails(small / "item_context.csv", "no column timestamp")
    fails(small, "map: open-bandit has fixed columns", {"user_id": "user_feature_0"})
    (small / "item_context.csv").rename(small / "items.csv")
    fails(small, r"no item_context\.csv")
    fails(small / "men.csv", r"no item_context\.csv")
    (small / "items.csv").rename(small / "item_context.csv")
    (small / "men.csv").rename(small / "log.csv")
    fails(small, r"no all\.csv")
    assert ingest(small / "log.csv", "open-bandit", tmp_path / "d").rows_kept == 4


def test_a_folder_of_the_campaigns_name_comes_first(small: Path, tmp_path: Path) -> None:
    (small / "all.csv").write_text("another\n")
    (small / "men.csv.gz").write_bytes(gzip.compress((small / "men.csv").read_bytes()))
    (small / "men.csv").unlink()
    assert ingest(small, "open-bandit", tmp_path / "d").rows_kept == 4
