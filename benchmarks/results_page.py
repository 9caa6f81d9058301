"""docs/results.md: a table and a figure an environment, from the runs that `results.py` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
import yaml

PUBLISHED: dict[str, list[tuple[str, str]]] = {
    "interest_evolution": [
        ("best published SlateQ (Ie et al. 2019, 300 k slates)", "174.6"),
        ("RecSim's random, myopic", "160.5, 168.1"),
    ],
    "interest_exploration": [("RecSim's random, prior; oracle that knows the user's type", "23.1, 31.0; 31.36")],
    "long_term_satisfaction": [("exact optimum by dynamic programming; always kale", "1534.8; 1519.6")],
    "long_term_satisfaction_strong": [("exact optimum by dynamic programming; always kale", "4099.5; 4040.4")],
}
TITLES = {"evaluation": "", "second_rule": "second leave rule", "null": "boredom off"}
Run = dict[str, Any]


@dataclass(frozen=True)
class Mean:
    """Over seeds. The standard error is NaN for one seed."""

    mean: float
    stderr: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Mean:
        array = np.array(values, dtype=float)
        error = array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else np.nan
        return Mean(float(array.mean()), float(error), len(array))

    def __str__(self) -> str:
        digits = 1 if abs(self.mean) >= 100 else 2
        return f"{self.mean:.{digits}f}" + ("" if np.isnan(self.stderr) else f" ± {self.stderr:.{digits}f}")


def rows_of(runs: list[Run], environments: Sequence[str]) -> list[dict[str, Any]]:
    """One flat row an environment, judging simulator and policy."""
    rows = []
    for environment in [name for name in environments if any(run["environment"] == name for run in runs)]:
        mine = [run for run in runs if run["environment"] == environment]
        for judged in TITLES:
            for policy, values in policies_of(mine, judged).items():
                mean = Mean.of(values)
                rows.append(
                    {"environment": environment, "judged": judged, "policy": policy, "mean": mean.mean,
                     "stderr": mean.stderr, "seeds": mean.count}
                )  # fmt: skip
    return rows


def policies_of(runs: list[Run], judged: str) -> dict[str, list[float]]:
    """Mean returns by policy, one a seed; a baseline that several algorithms' runs measured counts once a seed."""
    found: dict[str, dict[int, float]] = {}
    for run in runs:
        for policy, value in run["judged"].get(judged, {}).items():
            found.setdefault(policy, {})[run["seed"]] = value["mean"]
    means = {policy: list(values.values()) for policy, values in found.items()}
    return dict(sorted(means.items(), key=lambda item: -float(np.mean(item[1]))))


def write_page(path: Path, runs: list[Run], environments: Sequence[str]) -> None:
    """Write the page and its figures beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for environment in [name for name in environments if any(run["environment"] == name for run in runs)]:
        mine = [run for run in runs if run["environment"] == environment]
        figure = path.parent / "results" / f"{environment}.svg"
        draw(figure, mine)
        parts += section(environment, mine, f"results/{figure.name}")
    path.write_text("\n".join(parts) + "\n")


HEAD = """# Results

Every algorithm on every environment, over several training seeds, judged on the same 5,000 fresh users served greedily
(and, where it differs, as it would be served while exploring: `…_exploring`). ± is the standard error over training
seeds; of a policy that no seed changes it is the error over users. CPU-seconds are those of the whole training, judging
included, on two shared cores without a GPU. `make results` makes this page: a run is one JSON file, and only what is
missing is run.
"""


def section(environment: str, runs: list[Run], figure: str) -> list[str]:
    """The part of one environment, in Markdown."""
    parts = [f"## {environment.replace('_', ' ')}", "", f"![learning curves]({figure})", ""]
    parts += ["| policy | return | slates | env steps | CPU-s | seeds |", "|---|---|---|---|---|---|"]
    for policy, values in policies_of(runs, "evaluation").items():
        own = [run for run in runs if run["algorithm"] == policy.removesuffix("_exploring")]
        length = Mean.of(
            [
                run["judged"]["evaluation"][policy]["slates"]
                for run in own or runs
                if policy in run["judged"]["evaluation"]
            ]
        )
        cost = f"{own[0]['env_steps']:,} | {np.mean([run['cpu_seconds'] for run in own]):.0f}" if own else "– | –"
        mean = Mean.of(values)
        if not mean.stderr > 0:
            told = [run["judged"]["evaluation"][policy] for run in runs if policy in run["judged"]["evaluation"]]
            mean = Mean(mean.mean, told[0]["stderr"], mean.count)
        parts.append(f"| {policy} | {mean} | {length.mean:.1f} | {cost} | {len(values)} |")
    parts += [f"| *{name}* | *{value}* | | | | |" for name, value in PUBLISHED.get(environment, [])]
    parts += ["", *ahead(runs), *elsewhere(runs), *settings(runs)]
    return parts


def ahead(runs: list[Run]) -> list[str]:
    """Paired differences of each algorithm to the policies that are not trained."""
    algorithms = sorted({run["algorithm"] for run in runs})
    rivals = [
        name for name in policies_of(runs, "evaluation")
        if name.removesuffix("_exploring") not in algorithms and name != "random"
    ]  # fmt: skip
    if not rivals:
        return []
    parts = ["Ahead of, paired by user (± over seeds, and over users of one seed in brackets):", ""]
    parts += ["| | " + " | ".join(rivals) + " |", "|---|" + "---|" * len(rivals)]
    for algorithm in algorithms:
        own = [run["judged"]["evaluation"] for run in runs if run["algorithm"] == algorithm]
        cells = []
        for rival in rivals:
            differences = [judged[rival]["ahead"] for judged in own if rival in judged]
            error = np.mean([judged[rival]["ahead_stderr"] for judged in own if rival in judged])
            cells.append(f"{Mean.of(differences)} ({error:.2f})")
        parts.append(f"| {algorithm} | " + " | ".join(cells) + " |")
    return [*parts, ""]


def elsewhere(runs: list[Run]) -> list[str]:
    """The same policies under a second leave rule; and trained and judged with boredom switched off."""
    parts = []
    for judged in ("second_rule", "null"):
        found = policies_of(runs, judged)
        if found:
            parts += [f"{TITLES[judged].capitalize()}:", "", "| policy | return |", "|---|---|"]
            parts += [f"| {policy} | {Mean.of(values)} |" for policy, values in found.items()]
            parts.append("")
    return parts


def settings(runs: list[Run]) -> list[str]:
    """What was trained, folded away."""
    parts = []
    for algorithm in sorted({run["algorithm"] for run in runs}):
        content = next(run["settings"] for run in runs if run["algorithm"] == algorithm)
        kept = {name: content[name] for name in ("simulator", "policy", "algorithm", "resources", "stop")}
        text = yaml.safe_dump(kept, sort_keys=False, default_flow_style=None, width=110)
        parts += [
            f"<details><summary>{algorithm}: settings</summary>",
            "",
            "```yaml",
            text.rstrip(),
            "```",
            "",
            "</details>",
            "",
        ]
    return parts


def draw(path: Path, runs: list[Run]) -> None:
    """Learning curves: mean over seeds with a band of one standard error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for algorithm in sorted({run["algorithm"] for run in runs}):
        curves = [np.array(run["curve"], dtype=float) for run in runs if run["algorithm"] == algorithm and run["curve"]]
        if not curves:
            continue
        steps = np.linspace(max(c[0, 0] for c in curves), min(c[-1, 0] for c in curves), 50)
        values = np.stack([np.interp(steps, c[:, 0], c[:, 1]) for c in curves])
        mean, error = values.mean(0), values.std(0) / np.sqrt(max(len(values) - 1, 1))
        (line,) = axes.plot(steps, mean, label=algorithm)
        axes.fill_between(steps, mean - error, mean + error, alpha=0.2, color=line.get_color(), linewidth=0)
    axes.set_xlabel("simulated slates")
    axes.set_ylabel("return")
    axes.legend(frameon=False, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
