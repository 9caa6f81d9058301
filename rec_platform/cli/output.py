"""What commands print: progress on stderr, results on stdout, with ``--json`` one object on its last line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rec_platform.evaluation.rollout import Rollout, rollout_columns, rollout_rows

if TYPE_CHECKING:
    from rec_platform.evaluation.ranking.evaluate import RankingResult
    from rec_platform.evaluation.ranking.resampling import Difference

RANKING_COLUMNS = ("ndcg", "hit_rate", "recall", "map", "mrr", "coverage", "novelty", "popularity_bias")
"""On a wide terminal; ``--json`` has all."""

NARROW = ("ndcg", "hit_rate", "coverage")
"""On one of fewer than `WIDE` columns."""

WIDE = 130

console = Console(stderr=True)
"""Progress and remarks."""

stdout = Console()
"""Results."""


def tell(words: str) -> None:
    """What begins now; names in brackets are no markup."""
    console.print(f"· {words}", markup=False, highlight=False)


def print_json(content: dict[str, Any]) -> None:
    """One line; numbers that are not finite become null."""
    print(json.dumps(_finite(content)), flush=True)


def _finite(node: Any) -> Any:
    if isinstance(node, float) and not math.isfinite(node):
        return None
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return node


def rollout_table(rollouts: dict[str, Rollout], title: str) -> Table:
    """Policies side by side, best return first, each with its 95 % interval."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(rollout_columns(rollouts)):
        table.add_column(name, justify="right" if number else "left")
    for row in rollout_rows(rollouts):
        table.add_row(*row)
    return table


def ranking_table(results: Mapping[str, RankingResult], behind: Mapping[str, Difference], k: int, title: str) -> Table:
    """Policies by NDCG, best first, each with its interval, and how sure it is that it is behind the best.

    Args:
        behind: of all policies but the best; empty where there is nothing to compare.
    """
    shown = RANKING_COLUMNS if stdout.width >= WIDE else NARROW
    table = Table(title=title, title_justify="left")
    table.add_column("policy")
    for name in shown:
        table.add_column(f"{name}@{k}", justify="right")
    if behind:
        table.add_column("behind, p", justify="right")
    key = f"ndcg@{k}"
    for name in sorted(results, key=lambda name: -results[name].metrics[key].mean):
        told = results[name].to_dict()
        lower, upper = told["intervals"][key]
        cells = [f"{told[f'{metric}@{k}']:.4f}" for metric in shown]
        cells[0] += f" ({lower:.4f}…{upper:.4f})"
        gap = behind.get(name)
        place = [f"{gap.difference:.4f}, {gap.p_value:.3f}" if gap else "best"] if behind else []
        table.add_row(name, *cells, *place)
    return table


@contextmanager
def training_bar(label: str) -> Iterator[Any]:
    """A bar of what ends training; yields a function that takes each `training.progress.Progress`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, figures="")

        def update(line: Any) -> None:
            known = f"return {line.episode_return:8.2f}  " if math.isfinite(line.episode_return) else ""
            figures = f"{known}{line.steps_per_second:,.0f} steps/s"
            bar.update(task, completed=min(line.done, line.total), total=line.total, figures=figures)

        yield update


@contextmanager
def play_bar(label: str, total: int) -> Iterator[Any]:
    """A bar of a learner's play; yields a function that takes each `training.play.LearningPoint`."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = None

        def update(point: Any) -> None:
            nonlocal task
            if task is None:  # most fits have no play: they show no bar
                task = bar.add_task(label, total=total)
            bar.update(task, completed=min(point.env_steps, total))

        yield update
