"""Who predicts best what users took later, each tuned on a cut within its training part; and what it costs.

    python benchmarks/ranking.py path/to/dataset [--split leave-last-one-out|temporal] [--seeds 1 2 3] [--quick]

Settings of `GRID` are compared by NDCG@10 on a cut of the training part (of the same sort as the outer one), the best
is fitted to all of the training part and judged on what was held back, once. Sequence policies and blends are not tuned
but fitted with several seeds (``--quick`` leaves them out). Beside it, in the same process: how long the library
`implicit` takes to fit the same ALS and neighbours alone, and `ranx` to score the same lists with the same metrics.

The last line of stdout is one JSON object: ``results``, a list of flat objects, one a policy; CPU seconds throughout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from rec_platform.data.dataset import Dataset
from rec_platform.evaluation.ranking.evaluate import RankingResult
from rec_platform.evaluation.ranking.metrics import PER_USER
from rec_platform.evaluation.ranking.task import RankingTask
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.fitting import FittedSettings
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy

GRID: dict[str, dict[str, Sequence[Any]]] = {
    "popularity": {},
    "markov": {},
    "item_knn": {"measure": ["bm25"], "neighbours": [20, 100], "b": [0.25, 0.75], "decay": [1.0, 0.9]},
    "user_knn": {"neighbours": [50, 100, 200]},
    "als": {"factors": [16, 64], "confidence": [2.0, 40.0], "regularisation": [0.01, 1.0], "decay": [1.0, 0.95]},
    "ease": {"regularisation": [50.0, 150.0, 400.0], "decay": [1.0, 0.9, 0.8]},
    "content": {"decay": [1.0, 0.9]},
    "association": {"measure": ["confidence", "lift"]},
}
DRAWN = ("sequence", "blend")
"""Fitted with several seeds."""

KEY = "ndcg@10"


def main() -> None:
    """Tune, judge, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=("leave-last-one-out", "temporal"), default="leave-last-one-out")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--quick", action="store_true", help="leave out what is fitted with several seeds")
    arguments = parser.parse_args()
    task = RankingTask.of(Dataset.open(arguments.dataset), split=arguments.split)
    validation = RankingTask.cut(task.dataset, task.log, split=arguments.split)
    results = []
    for kind, grid in GRID.items():
        settings = tuned(kind, grid, validation)
        results.append(row(kind, settings, [judged(task, settings, 0)]))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    for kind in () if arguments.quick else DRAWN:
        settings = FITTED[kind]()
        results.append(row(kind, settings, [judged(task, settings, seed) for seed in arguments.seeds]))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"split": arguments.split, "results": results, "libraries": libraries(task)}))


def tuned(kind: str, grid: Mapping[str, Sequence[Any]], validation: RankingTask) -> FittedSettings:
    """The best of the grid by the validation cut; of equal ones the first."""
    options = [FITTED[kind](**dict(zip(grid, values, strict=True))) for values in product(*grid.values())]
    if len(options) == 1:
        return options[0]
    return max(options, key=lambda settings: judged(validation, settings, 0)[0].metrics[KEY].mean)


def judged(task: RankingTask, settings: FittedSettings, seed: int) -> tuple[RankingResult, float, float]:
    """The figures, and the CPU seconds of fitting and of evaluating."""
    scorer, fitting = timed(lambda: settings.fit(task.log, seed))
    result, evaluating = timed(lambda: task.evaluate(Policy(settings.kind, scorer, Greedy())))
    return result, fitting, evaluating


def row(kind: str, settings: FittedSettings, runs: list[tuple[RankingResult, float, float]]) -> dict[str, Any]:
    """One line of the results: means over seeds."""
    content: dict[str, Any] = {"policy": kind, "settings": settings.model_dump(exclude_defaults=True)}
    for key in (KEY, "hit_rate@10"):
        content[key] = statistics.mean(result.metrics[key].mean for result, _, _ in runs)
    for name in runs[0][0].slices:
        content[f"{KEY} {name}"] = statistics.mean(result.slices[name][KEY] for result, _, _ in runs)
    if len(runs) > 1:
        values = [result.metrics[KEY].mean for result, _, _ in runs]
        content |= {"seeds": len(runs), "stderr": statistics.stdev(values) / len(runs) ** 0.5}
    content["fit_cpu_seconds"] = statistics.mean(fitting for _, fitting, _ in runs)
    content["evaluate_cpu_seconds"] = statistics.mean(evaluating for _, _, evaluating in runs)
    return content


def libraries(task: RankingTask) -> list[dict[str, Any]]:
    """The same work by the library a user would pick, next to ours: medians of five."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender

    matrix = task.log.matrix
    als = FITTED["als"]()
    theirs: dict[str, Callable[[], Any]] = {
        "als": lambda: AlternatingLeastSquares(
            factors=64, alpha=40.0, regularization=0.01, iterations=15, random_state=0, num_threads=1
        ).fit(matrix, show_progress=False),
        "item_knn": lambda: BM25Recommender(K=20, num_threads=1).fit(matrix, show_progress=False),
    }
    ours: dict[str, Callable[[], Any]] = {
        "als": lambda: als.fit(task.log, 0),
        "item_knn": lambda: FITTED["item_knn"]().fit(task.log, 0),
    }
    rows = [compared(f"fit {kind}", "implicit", ours[kind], theirs[kind]) for kind in theirs]
    return [*rows, metrics_beside_ranx(task)]


def metrics_beside_ranx(task: RankingTask) -> dict[str, Any]:
    """Four metrics of the same lists of all users."""
    from ranx import Qrels, Run, evaluate

    from rec_platform.evaluation.ranking.lists import rank

    scorer = FITTED["popularity"]().fit(task.log, 0)
    policy = Policy("popularity", scorer, Greedy())
    length = int(task.held_out.train.counts.max())
    lists = rank(policy, task.held_out, task.log.user_features, num_items=len(task.catalog), history_length=length)
    offsets, items = task.held_out.offsets, task.held_out.items
    wanted = Qrels({str(n): {str(i): 1 for i in items[offsets[n] : offsets[n + 1]]} for n in range(len(task.held_out))})
    shown = Run({str(n): {str(i): 1.0 - 0.01 * r for r, i in enumerate(line)} for n, line in enumerate(lists.items)})
    names = {"ndcg": "ndcg@10", "hit_rate": "hit_rate@10", "recall": "recall@10", "reciprocal_rank": "mrr@10"}
    metrics = [metric for name, metric in PER_USER.items() if name in ("ndcg", "hit_rate", "recall", "mrr")]
    evaluate(wanted, shown, list(names.values()))  # ranx compiles at the first call
    return compared(
        "four metrics",
        "ranx",
        lambda: [metric(lists, task.facts) for metric in metrics],
        lambda: evaluate(wanted, shown, list(names.values())),
    )


def compared(what: str, library: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> dict[str, Any]:
    """Median CPU seconds of both, taking turns."""
    pairs = [(timed(ours)[1], timed(theirs)[1]) for _ in range(5)]
    own, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs if b > 0) if other > 0 else float(np.nan)
    return {"what": what, "library": library, "ours": own, "theirs": other, "ratio": ratio}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its CPU seconds."""
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


if __name__ == "__main__":
    main()
