"""A folder of joined rows: the same bytes in one run or several, closed rows never change, nothing is half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from join_logs import MINUTE, START, decision, decisions_table, event, events_table, random_log

from rec_platform.data.catalog import Catalog
from rec_platform.data.exposures import Exposures
from rec_platform.data.join import (
    RewardSpec,
    join,
    join_into,
    read_joined,
    read_manifest,
    write_joined,
)
from rec_platform.data.logged_decisions import LoggedDecisions
from rec_platform.data.manifest import Source
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS, conform
from rec_platform.data.user_log import UserLog
from rec_platform.data.writer import write_dataset
from rec_platform.errors import InputError

NEVER = START + 10**15
SPEC = RewardSpec(placement_wait_seconds={"home": 300.0})


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log(seed: int = 0, size: int = 60) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Over three days; every id once, so that a part of the log is the log of a part of the time."""
    rng = np.random.default_rng(seed)
    decisions, events = random_log(rng, size)
    decisions = list({row["decision_id"]: row for row in decisions}.values())
    events = list({row["event_id"]: row for row in events}.values())
    shift = {row["decision_id"]: int(rng.integers(3)) * 1440 * MINUTE for row in decisions}
    for row in decisions:
        row["timestamp"] += shift[row["decision_id"]]
    for row in events:
        row["occurred_at"] += shift.get(row["recommendation_id"], 0)
    return decisions, events


def until(rows: list[dict[str, Any]], column: str, moment: int) -> list[dict[str, Any]]:
    return [row for row in rows if row[column] <= moment]


@pytest.mark.parametrize("seed", range(6))
def test_in_several_runs_as_in_one_to_the_byte(tmp_path: Path, seed: int) -> None:
    """Events arrive as they happen; the log is read again whenever some minutes have passed."""
    decisions, events = log(seed)
    whole = join_into(tmp_path / "whole", decisions_table(decisions), events_table(events), SPEC, NEVER)
    for moment in [*(START + np.sort(np.random.default_rng(seed).integers(0, 4400, 6)) * MINUTE), NEVER]:
        seen = [until(decisions, "timestamp", moment), until(events, "occurred_at", moment)]
        parts = join_into(tmp_path / "parts", decisions_table(seen[0]), events_table(seen[1]), SPEC, int(moment))
        assert parts.counts["late_arrivals"] == 0
    assert parts == whole
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    assert whole.rows == len(decisions)
    assert len(whole.files) > 6


def test_again_gives_the_same_bytes_and_reads_back(tmp_path: Path) -> None:
    decisions, events = (table(rows) for table, rows in zip((decisions_table, events_table), log(), strict=True))
    join_into(tmp_path / "a", decisions, events, SPEC, NEVER)
    before = content(tmp_path / "a")
    join_into(tmp_path / "a", decisions, events, SPEC, NEVER + 5)
    assert content(tmp_path / "a") == before
    rebuilt = join_into(tmp_path / "a", decisions, events, SPEC, NEVER, rebuild=True)
    assert content(tmp_path / "a") == before
    assert read_joined(tmp_path / "a").equals(join(decisions, events, SPEC, NEVER).rows)
    assert read_joined(tmp_path / "a", columns=["reward"]).column_names == ["reward"]
    assert rebuilt.watermark == max(row["closed_at"] for row in micro(read_joined(tmp_path / "a")))
    other = pq.read_table(tmp_path / "a")  # as other programs read it
    assert other.num_rows == rebuilt.rows
    assert {"dt", "surface", "model", "placement"} <= set(other.column_names)


def micro(table: pa.Table) -> list[dict[str, Any]]:
    at = table.column_names.index("closed_at")
    return table.set_column(at, "closed_at", table["closed_at"].cast(pa.int64())).select(["closed_at"]).to_pylist()


def test_a_closed_row_never_changes_and_a_rebuild_takes_late_arrivals_in(tmp_path: Path) -> None:
    decisions, first = decisions_table([decision("d", 0)]), [event("e1", "d", 1, item="a")]
    join_into(tmp_path / "j", decisions, events_table(first), SPEC, NEVER)
    before = {name: data for name, data in content(tmp_path / "j").items() if name != "_joined.json"}
    arrived = events_table([*first, event("e2", "d", 2, item="b", action="purchase")])
    after = join_into(tmp_path / "j", decisions, arrived, SPEC, NEVER)
    assert before.items() <= content(tmp_path / "j").items()
    assert (after.counts["late_arrivals"], after.counts["late"], after.counts["matched"]) == (1, 1, 1)
    assert read_joined(tmp_path / "j")["reward"].to_pylist() == [1.0]
    write_joined(tmp_path / "j", join(decisions, arrived, SPEC, NEVER))  # without a word about what was closed
    assert read_joined(tmp_path / "j")["reward"].to_pylist() == [1.0]
    join_into(tmp_path / "j", decisions, arrived, SPEC, NEVER, rebuild=True)
    assert read_joined(tmp_path / "j")["reward"].to_pylist() == [6.0]


def test_a_decision_that_reaches_the_log_late_is_joined_then(tmp_path: Path) -> None:
    join_into(tmp_path / "j", decisions_table([decision("d2", 5)]), events_table([]), SPEC, NEVER)
    both = decisions_table([decision("d2", 5), decision("d1", 0)])
    manifest = join_into(tmp_path / "j", both, events_table([]), SPEC, NEVER)
    assert read_joined(tmp_path / "j")["decision_id"].to_pylist() == ["d1", "d2"]
    assert len(manifest.files) == 1  # those of one day, placement and model
    assert len(list((tmp_path / "j").rglob("*.parquet"))) == 1


def test_partitions_of_strange_names(tmp_path: Path) -> None:
    rows = [
        decision("a", 0, placement="a/b=c"),
        decision("b", 0, placement="x" * 256),
        decision("c", 0, placement=None),
    ]
    rows += [decision("d", 0, placement="_none"), decision("e", 1440, placement="..", policy_version="7")]
    manifest = join_into(tmp_path / "j", decisions_table(rows), events_table([]), SPEC, NEVER)
    names = [path.rpartition("/")[0] for path in manifest.files]
    assert "dt=2023-11-14/surface=a%2Fb%3Dc/model=p" in names
    assert "dt=2023-11-14/surface=_none/model=p" in names
    assert "dt=2023-11-15/surface=../model=p@7" in names
    assert len(names) == len(set(names)) == 5
    assert sorted(read_joined(tmp_path / "j")["decision_id"].to_pylist()) == list("abcde")


def test_columns_that_come_later(tmp_path: Path) -> None:
    join_into(tmp_path / "j", decisions_table([decision("a", 0)]), events_table([]), SPEC, NEVER)
    log = decisions_table([decision("b", 1)]).append_column("mode", pa.array(["online"]))
    join_into(tmp_path / "j", log, events_table([]), SPEC, NEVER)
    assert read_joined(tmp_path / "j", columns=["mode"]).to_pylist() == [{"mode": None}, {"mode": "online"}]


KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq
sys.path.insert(0, {tests!r})
from test_join_folder import SPEC, NEVER, log
from join_logs import decisions_table, events_table
import rec_platform.data.join.folder as folder
left, replace = [int(sys.argv[1])], os.replace
def dying(source, target):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    replace(source, target)
folder.os.replace = dying
decisions, events = log()
folder.join_into(Path({output!r}), decisions_table(decisions), events_table(events), SPEC, NEVER)
"""


@pytest.mark.parametrize("survived", [0, 1, 4])
def test_killed_between_writing_and_renaming(tmp_path: Path, survived: int) -> None:
    """The folder is as it was before the run, for whoever goes by its manifest; the next run finishes and cleans."""
    decisions, events = log()
    output, early = tmp_path / "j", START + 900 * MINUTE
    if survived:  # else nothing was there before
        join_into(output, decisions_table(decisions), events_table(events), SPEC, early)
    before = read_joined(output) if survived else None
    script = KILLED.format(tests=str(Path(__file__).parent), output=str(output))
    process = subprocess.run(
        [sys.executable, "-c", script, str(survived)], env=os.environ | {}, timeout=120, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert any(path.suffix == ".partial" for path in output.rglob(".*"))
    if before is not None:
        assert read_joined(output).equals(before)
    join_into(output, decisions_table(decisions), events_table(events), SPEC, NEVER)
    join_into(tmp_path / "whole", decisions_table(decisions), events_table(events), SPEC, NEVER)
    assert content(output) == content(tmp_path / "whole")


def test_it_is_a_dataset_that_offline_learning_reads(tmp_path: Path) -> None:
    """Sessions, rewards and the order of slates arrive where off-policy evaluation and offline RL look for them."""
    decisions = [
        decision("d1", 0, "abc", session_id="s", candidates=list("abcde")),
        decision("d2", 2, "bcd", session_id="s", previous_decision_id="d1", candidates=list("abcde")),
        decision("gone", 3, "bcd", session_id="s", deferred=True, candidates=list("abcde")),
        decision("d3", 5000, "cde", session_id="t"),
    ]
    events = [event("e1", "d1", 1, item="b"), event("e2", "d2", 3, item="d", action="purchase")]
    join_into(tmp_path / "j", decisions_table(decisions), events_table(events), SPEC, NEVER)
    clicks = [
        {"user_id": "u", "item_id": i, "timestamp": START + n * MINUTE, "event": "click"} for n, i in enumerate("ab")
    ]
    dataset = write_dataset(
        tmp_path / "d",
        name="joined",
        source=Source(name="test", format="generator"),
        interactions=pa.Table.from_pylist(clicks, schema=INTERACTIONS),
        items=pa.Table.from_pylist([{"item_id": name} for name in "abcde"], schema=ITEMS),
        users=pa.Table.from_pylist([{"user_id": "u"}], schema=USERS),
        decisions=conform(read_joined(tmp_path / "j"), DECISIONS),
    )
    user_log = UserLog.read(dataset)
    exposures = user_log.exposures
    assert isinstance(exposures, Exposures)
    assert isinstance(user_log.catalog, Catalog)
    assert exposures.chosen.tolist() == [1, 2, -1]  # the inactive one is left out
    logged = LoggedDecisions.build(
        user_log, history_length=2, max_session_slates=10, reward={"reward": 1.0}, dataset=dataset
    )
    assert logged.reward.tolist() == [1.0, 5.0, 0.0]
    assert logged.following.tolist() == [1, -1, -1]
    assert logged.propensity_kind == "plackett_luce_step"


def test_what_cannot_be_written_into(tmp_path: Path) -> None:
    decisions, events = decisions_table([decision("d", 0)]), events_table([])
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo").write_text("")
    for name, words in (("file", "is not a folder"), ("other", "holds no joined rows")):
        with pytest.raises(InputError, match=words):
            join_into(tmp_path / name, decisions, events, SPEC, NEVER)
    join_into(tmp_path / "j", decisions, events, SPEC, NEVER)
    with pytest.raises(InputError, match=f"by reward spec {SPEC.version}, not by"):
        join_into(tmp_path / "j", decisions, events, RewardSpec(), NEVER)
    assert join_into(tmp_path / "j", decisions, events, RewardSpec(), NEVER, rebuild=True).spec == RewardSpec()
    with pytest.raises(InputError, match="no joined rows: it has no _joined"):
        read_manifest(tmp_path)
    part = next((tmp_path / "j").rglob("*.parquet"))
    part.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="join again with --rebuild"):
        read_joined(tmp_path / "j")
    (tmp_path / "j" / "_joined.json").write_text("{}")
    with pytest.raises(InputError, match="not readable: spec"):
        read_manifest(tmp_path / "j")
