"""What a comparison says: means, errors over seeds, intervals over users, differences; its tables and its page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rec_platform.evaluation.comparison.figures import place_labels
from rec_platform.evaluation.comparison.page import write_comparison_page
from rec_platform.evaluation.comparison.results import BASELINE, Comparison, Contender, Outcome
from rec_platform.evaluation.comparison.table import columns_of, head, rows, seed_rows, sentences
from rec_platform.evaluation.ranking.evaluate import RankingResult, evaluate
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.evaluation.ranking.resampling import intervals, paired
from rec_platform.evaluation.rollout import Estimate, Rollout

ALL = ("kind", "ndcg", "hit_rate", "coverage", "novelty", "return", "slates", "CPU-s")


def ranking(quality: float, seed: int, users: int = 80) -> RankingResult:
    """Lists of three of ten items; the first is what the user took with probability ``quality``."""
    rng = np.random.default_rng(seed)
    items = np.array([rng.permutation(10)[:3] for _ in range(users)], dtype=np.int32)
    hits = np.zeros((users, 3), dtype=bool)
    hits[:, 0] = rng.random(users) < quality
    facts = ItemFacts(np.arange(1, 11), np.eye(10, dtype=np.float32))
    tied = np.arange(users) % 2 == 0
    return evaluate(Rankings(items, hits, np.ones(users, dtype=np.int64)), facts, {"tied": tied, "untied": ~tied})


def rollout(mean: float, seed: int, users: int = 90) -> Rollout:
    returns = np.random.default_rng(seed).normal(mean, 1, users)
    return Rollout("any", returns, np.full(users, 7.0), returns / 2, 0.5)


@pytest.fixture
def comparison() -> Comparison:
    """One that foretells, one that pays, trained twice, and a baseline."""
    first = Outcome(1, 3.0, ranking(0.9, 1), rollout(4, 1))
    curve = ((0.0, float("nan")), (10.0, 2.0), (20.0, 5.0))
    trained = tuple(Outcome(seed, 20.0 + seed, ranking(0.3, seed), rollout(9 + seed, seed), curve) for seed in (2, 3))
    contenders = {
        "foretells": Contender("foretells", "markov", "fitted", (first,)),
        "pays <b>": Contender("pays <b>", "ppo", "reinforcement learning", trained),
        "random": Contender("random", BASELINE, BASELINE, (Outcome(0, np.nan, ranking(0.1, 4), rollout(3, 4)),)),
    }
    return Comparison("log", "leave-last-one-out", 3, "every-rating", 2, contenders, remarks=("Ties: some.",))


def test_means_errors_and_intervals(comparison: Comparison) -> None:
    one = comparison.contenders["pays <b>"]
    assert one.ranking is not None
    assert one.rollout is not None
    ndcg = [outcome.ranking.per_user["ndcg@3"] for outcome in one.outcomes if outcome.ranking]
    returns = [outcome.rollout.returns for outcome in one.outcomes if outcome.rollout]
    by_user = np.mean(ndcg, axis=0)
    assert one.ranking.metrics["ndcg@3"].mean == pytest.approx(np.mean(ndcg))
    spread = intervals(by_user[:, None])[0]
    assert (one.ranking.metrics["ndcg@3"].lower, one.ranking.metrics["ndcg@3"].upper) == pytest.approx(
        (spread.lower, spread.upper)
    )
    means = [values.mean() for values in ndcg]
    assert one.over_seeds["ndcg@3"] == pytest.approx(abs(means[0] - means[1]) / 2)
    assert one.over_seeds["return"] == pytest.approx(abs(returns[0].mean() - returns[1].mean()) / 2)
    np.testing.assert_allclose(one.rollout.returns, (returns[0] + returns[1]) / 2)
    assert one.ranking.slices["tied"]["ndcg@3"] == pytest.approx(np.mean([values[::2] for values in ndcg]))
    assert one.cpu_seconds == 22.5


def test_who_is_best_and_by_how_much(comparison: Comparison) -> None:
    assert comparison.best == {"ranking": "foretells", "simulation": "pays <b>"}
    assert comparison.order == ["foretells", "pays <b>", "random"]
    best, other = comparison.ranked["foretells"].per_user, comparison.ranked["random"].per_user
    assert comparison.behind["ranking"]["random"] == paired(best["ndcg@3"], other["ndcg@3"])
    gap = comparison.behind["simulation"]["foretells"]
    assert gap.difference == pytest.approx(
        comparison.played["pays <b>"].returns.mean() - comparison.played["foretells"].returns.mean()
    )
    words = " ".join(sentences(comparison))
    assert "Foretells best what users took later: foretells" in words
    assert "foretells is number 2 of 3 by return" in words
    assert "pays <b> is number 2 of 3 by ndcg@3" in words


def test_one_that_may_be_as_good_is_named(comparison: Comparison) -> None:
    twin = Contender("twin", "ease", "fitted", comparison.contenders["foretells"].outcomes)
    both = Comparison("log", "temporal", 3, "likes", 1, {**comparison.contenders, "twin": twin})
    assert "not surely ahead of twin." in sentences(both)[0]


def test_rows(comparison: Comparison) -> None:
    columns = columns_of(comparison, ALL)
    assert head(comparison, columns)[:4] == ["policy", "kind", "ndcg@3", "hit_rate@3"]
    lines = {row[0]: row for row in rows(comparison, columns)}
    told = Estimate.of(comparison.played["random"].returns)
    assert lines["random"][6:] == [f"{told.mean:.2f} ({told.lower:.2f}…{told.upper:.2f})", "7.0", "–"]
    assert lines["foretells"][-1] == "3.0"
    assert lines["pays <b>"][-1] == "22"
    names, seeds = seed_rows(comparison)
    assert names == ["policy", "ndcg@3", "each seed", "return", "each seed"]
    assert [row[0] for row in seeds] == ["pays <b>"]


def test_one_side_alone(comparison: Comparison) -> None:
    outcomes = tuple(Outcome(one.seed, 1.0, rollout=one.rollout) for one in comparison.contenders["random"].outcomes)
    alone = Comparison("log", "temporal", 3, "likes", 1, {"random": Contender("random", BASELINE, BASELINE, outcomes)})
    assert columns_of(alone, ALL) == ["kind", "return", "slates", "CPU-s"]
    assert alone.best == {"ranking": None, "simulation": "random"}
    assert alone.behind == {"ranking": {}, "simulation": {}}
    assert sentences(alone)[0].startswith("Earns most from simulated users: random (return ")
    told = alone.to_dict()
    assert (told["users"], told["simulated_users"]) == (None, 90)


def test_for_programs(comparison: Comparison) -> None:
    told = json.loads(json.dumps(comparison.to_dict()))
    assert list(told["policies"]) == comparison.order
    one = told["policies"]["pays <b>"]
    assert {"kind", "ndcg@3", "coverage@3", "intervals", "slices", "return", "session_length", "clicks",
            "stderr_over_seeds", "cpu_seconds", "seeds"} <= set(one)  # fmt: skip
    assert set(one["return"]) == {"mean", "stderr", "lower", "upper"}
    assert [line["seed"] for line in one["seeds"]] == [2, 3]
    assert set(told["behind"]["ranking"]["random"]) == {"difference", "lower", "upper", "p_value"}


class Page(HTMLParser):
    """Headings, and whatever would be loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and not v.startswith("#")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.headings.append(data)


def test_the_page_stands_alone(comparison: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_comparison_page(path, comparison, command="rec-platform compare a.yaml --dataset '<d>'")
    text = path.read_text()
    page = Page(text)
    assert page.loaded == []
    assert page.tags.count("svg") == 5
    for heading in ("Summary", "Prediction and return", "How sure", "Seeds", "Learning curves", "Made by"):
        assert heading in page.headings
    assert "pays <b>" not in text
    assert "Ties: some." in text
    assert "--dataset &#x27;&lt;d&gt;&#x27;" in text


def test_labels_keep_out_of_each_others_way() -> None:
    """Ten policies at nearly one place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    points = {f"movielens_{number}": (0.5 + 0.02 * rng.random(), 0.5 + 0.02 * rng.random()) for number in range(10)}
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    place_labels(figure, axes, points)
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert {text.get_text() for text in axes.texts} == set(points)
    written = [Text.get_window_extent(text, renderer) for text in axes.texts]
    shared = [a.overlaps(b) for i, a in enumerate(written) for b in written[:i]]
    assert sum(shared) == 0
