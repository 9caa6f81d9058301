"""The report: one whole HTML file, with everything in it and nothing of the reader's data taken for markup."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rec_platform.evaluation import html_page as module
from rec_platform.evaluation.report import write_report
from rec_platform.evaluation.rollout import Rollout

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Checker(HTMLParser):
    """Tags must close in order; collects text, table rows and what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        self.loaded += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith("#")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@dataclass
class Point:
    env_steps: int
    episode_return: float


def result(name: str, mean: float) -> Rollout:
    rng = np.random.default_rng(0)
    return Rollout(name, mean + rng.normal(size=50), np.full(50, 7.0), np.full(50, 3.0), 0.25)


def read(path: Path) -> Checker:
    content = path.read_text(encoding="utf-8")
    assert content.lower().startswith("<!doctype html>")
    checker = Checker()
    checker.feed(content)
    checker.close()
    assert not checker.open
    return checker


def test_whole_and_single(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    names = ["random", "popularity", "myopic", "ppo", "slateq"]
    write_report(
        path,
        title="A report",
        rollouts={name: result(name, 10.0 * i) for i, name in enumerate(names)},
        curves={"ppo": [Point(100 * i, math.nan if i == 0 else float(i)) for i in range(5)], "none": []},
        fit={
            "train": {"holdout": {"log_loss": 0.61234, "examples": 1200}, "train": {"log_loss": 0.1}},
            "evaluation": {"holdout": {"log_loss": 0.65}, "item_mean": {"log_loss": 0.7}},
        },
        notes=["Take note."],
    )
    page = read(path)
    assert [row[0] for row in page.rows[:6]] == ["policy", *reversed(names)]  # the best first
    assert page.rows[1][1].startswith("40.")
    assert page.rows[1][3:] == ["7.0", "3.0", "25.0%"]
    assert ["train: response model", "–", "0.6123", "–", "1,200"] in page.rows
    assert ["evaluation: response model", "–", "0.65", "–", "–"] in page.rows
    assert ["evaluation: item mean alone", "–", "0.7", "–", "–"] in page.rows
    assert "Take note." in page.text
    assert page.tags.count("svg") == 2
    assert page.tags.count("html") == page.tags.count("body") == page.tags.count("title") == 1
    assert not page.loaded  # nothing comes from elsewhere
    assert "script" not in page.tags


def test_nothing_is_taken_for_markup(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    evil = "<script>alert('x')</script>&amp;"
    dollars = r"$\nonsense{$"  # matplotlib would read it as mathematics
    write_report(
        path,
        title=evil,
        rollouts={evil: result(evil, 1.0), dollars: result(dollars, 2.0)},
        curves={evil: [Point(1, 2.0)], dollars: [Point(1, 1.0)]},
        fit={evil: {"holdout": {evil: 3}}, "other": {"item_mean": {"auc": 0.5}}},
        notes=[evil],
    )
    page = read(path)
    assert "script" not in page.tags
    assert page.text.count(evil) >= 4  # title, heading, table, note
    assert f"{evil}: response model" in page.text
    assert dollars in page.text


def test_no_curves_no_fit(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="t", rollouts={"random": result("random", 0.0)}, curves={})
    page = read(path)
    assert page.tags.count("svg") == 1
    assert "Learning curves" not in page.text


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_report(path, title="t", rollouts={"random": result("random", 0.0)}, curves={})
    assert path.read_text() == "the old one"
    monkeypatch.undo()
    write_report(path, title="t", rollouts={"random": result("random", 0.0)}, curves={})
    assert read(path).rows
    assert os.listdir(tmp_path) == ["report.html"]
