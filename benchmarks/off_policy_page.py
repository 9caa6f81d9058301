"""The page of `off_policy.py`'s study: what it shows in all, then a table a setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

METHODS = ("bootstrap", "bootstrap_t", "student_t", "hoeffding", "empirical_bernstein")
ALWAYS = ("hoeffding", "empirical_bernstein")
"""Kinds of intervals that hold for any number of units: they may cover more than they say."""

LEAST, MOST = 0.93, 0.98
IMPORTANCE = ("ips", "slate_ips", "trajectory_is")
DOUBLY_ROBUST = (
    "dr", "sndr", "switch_dr", "dr_os", "cascade_dr", "cascade_sndr", "sequential_dr", "sequential_sndr"
)  # fmt: skip
"""With their parameters as they stand; tuned ones and MAGIC, a blend, are not counted."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One cell of coverage: an estimator of a setting and size whose assumptions hold, and a kind of interval."""

    row: Row
    method: str

    @property
    def coverage(self) -> float:
        return float(self.row[f"coverage_{self.method}"])

    @property
    def flagged(self) -> bool:
        """Whether most of its logs carry a warning against this kind of interval."""
        return float(self.row[f"reliable_{self.method}"]) < 0.5

    def __str__(self) -> str:
        where = f"{self.row['setting'].replace('_', ' ')}, {self.row['estimator']}, n = {self.row['n']}"
        return f"{100 * self.coverage:.2f} ({where}, {self.method})"


def page(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["# Off-policy estimators on known truth", ""]
    if rows:
        lines += [*summary(rows), "", *errors(rows), ""]
    head = ["n", "estimator", "bias", "MSE", *(method.replace("_", " ") for method in METHODS), "reliable"]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        mine = sorted((row for row in rows if row["setting"] == setting), key=lambda row: int(row["n"]))
        logs = ", ".join(f"{count} of {n}" for n, count in dict.fromkeys((row["n"], row["logs"]) for row in mine))
        lines += [f"## {setting.replace('_', ' ')} (truth {mine[0]['truth']:.4f}; logs: {logs})", ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in mine:
            cells = [str(row["n"]), row["estimator"] + ("" if row["valid"] else " *")]
            cells += [f"{row['bias']:+.4f} ± {row['bias_stderr']:.4f}", f"{row['mse']:.2e}"]
            cells += [_cell(row, method) for method in METHODS]
            lines.append("| " + " | ".join([*cells, f"{100 * row['reliable_bootstrap_t']:.0f}"]) + " |")
        lines.append("")
    return "\n".join(lines)


def summary(rows: list[Row]) -> list[str]:
    """What the tables say in all, and how to read them."""
    entries = [Entry(row, method) for row in rows if row["valid"] for method in METHODS if f"coverage_{method}" in row]
    usual = [entry for entry in entries if entry.method not in ALWAYS]
    open_, flagged = ([e for e in usual if e.flagged is told] for told in (False, True))
    inside = sum(LEAST <= entry.coverage <= MOST for entry in open_)
    default = [entry for entry in usual if entry.method == "bootstrap_t"]
    outside = sorted((e for e in open_ if not LEAST <= e.coverage <= MOST), key=lambda e: e.coverage)
    counts = [int(row["logs"]) for row in rows]
    share = f"{100 * LEAST:.0f} to {100 * MOST:.0f} %"
    lines = [
        f"Simulated: {min(counts)} to {max(counts)} logs a setting and size (in the tables). One standard error of a "
        f"coverage of 95 % is {_noise(max(counts)):.1f} to {_noise(min(counts)):.1f} %, of a coverage of 93 % "
        f"{_noise(max(counts), LEAST):.1f} to {_noise(min(counts), LEAST):.1f} %.",
        "",
        f"- Entries (estimator, size and kind of interval) whose estimator's assumptions hold, of the approximate "
        f"kinds: {len(usual)}. Most logs of {len(flagged)} carry a warning against that kind of interval. Of the other "
        f"{len(open_)}, {inside} cover {share}: least {_least(open_)}, most {_most(open_)}.",
        *([f"- Outside: {'; '.join(map(str, outside))}."] if outside else []),
        f"- `bootstrap_t`, the default, with flagged ones: {_range(default)}.",
        f"- Flagged entries of the other kinds: {_range([e for e in flagged if e.method != 'bootstrap_t'])}.",
        f"- Hoeffding and empirical Bernstein: least {_least([e for e in entries if e.method in ALWAYS])}.",
        *_selected(rows),
    ]
    return [
        *lines,
        "",
        "Coverage of 95 % intervals is in %. * = the estimator's assumptions fail in this world (it shrinks weights, "
        "believes a model, or takes slots as independent where they are not); so may its intervals. In parentheses: "
        "most logs carry a warning against this kind of interval. *reliable*: of how many logs, in %, the "
        "`bootstrap_t` interval carries none.",
    ]


def errors(rows: list[Row]) -> list[str]:
    """Mean squared errors of importance weighting and of the best doubly robust estimators."""
    head = ("setting", "n", "IPS", "best doubly robust", "best whose assumptions hold")
    lines = ["## Mean squared error", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    below = []
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    pairs = sorted({(settings.index(row["setting"]), int(row["n"])) for row in rows})
    for setting, n in ((settings[number], n) for number, n in pairs):
        mine = [row for row in rows if (row["setting"], row["n"]) == (setting, n)]
        base = next((row for row in mine if row["estimator"] in IMPORTANCE), None)
        robust = [row for row in mine if row["estimator"] in DOUBLY_ROBUST]
        if base is None or not robust:
            continue
        best = [min(part, key=lambda row: row["mse"]) for part in (robust, [row for row in robust if row["valid"]])]
        below.append(all(row["mse"] < base["mse"] for row in best))
        cells = [f"{row['mse']:.2e} ({row['mse'] / base['mse']:.2f}), {row['estimator']}" for row in best]
        lines.append("| " + " | ".join([setting.replace("_", " "), str(n), f"{base['mse']:.2e}", *cells]) + " |")
    told = (
        f"Both are below IPS (of whole slates, of whole episodes) in {sum(below)} of {len(below)} settings and sizes; "
    )
    return [*lines, "", told + "in brackets the share of IPS's error."]


def _selected(rows: list[Row]) -> Iterable[str]:
    """What a warning that only some logs carry says of the logs without it."""
    some = [row for row in rows if row["valid"] and 0.1 < row["reliable_bootstrap_t"] < 0.9]
    if not some:
        return
    worst = min(some, key=lambda row: float(row["coverage_where_reliable"]))
    share, covered = 100 * worst["reliable_bootstrap_t"], 100 * worst["coverage_where_reliable"]
    yield (
        "- Near a warning's threshold, the logs without it are those that missed the heavy weights: of "
        f"{worst['estimator']}, n = {worst['n']}, {share:.0f} % of logs carry none, and in these `bootstrap_t` covers "
        f"{covered:.1f} %."
    )


def _cell(row: Row, method: str) -> str:
    if f"coverage_{method}" not in row:
        return "–"
    entry = Entry(row, method)
    return f"({100 * entry.coverage:.1f})" if entry.flagged else f"{100 * entry.coverage:.1f}"


def _noise(logs: int, coverage: float = 0.95) -> float:
    return 100 * float((coverage * (1 - coverage) / logs) ** 0.5)


def _least(entries: list[Entry]) -> str:
    return str(min(entries, key=lambda entry: entry.coverage)) if entries else "none"


def _most(entries: list[Entry]) -> str:
    return str(max(entries, key=lambda entry: entry.coverage)) if entries else "none"


def _range(entries: list[Entry]) -> str:
    if not entries:
        return "none"
    inside = sum(LEAST <= entry.coverage <= MOST for entry in entries)
    share = f"{inside} of {len(entries)} in {100 * LEAST:.0f} to {100 * MOST:.0f} %"
    return f"{share}, least {_least(entries)}, most {_most(entries)}"
