"""`rec-platform compare`: recommenders of every kind on one log, by what they foretell and what users give."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from rec_platform.cli.options import ListLength, Positives, Split
from rec_platform.cli.output import WIDE, print_json, stdout, tell, training_bar
from rec_platform.cli.train import check_report
from rec_platform.errors import InputError
from rec_platform.registry.home import platform_home

if TYPE_CHECKING:
    from rec_platform.evaluation.comparison.results import Comparison

NARROW_COLUMNS = ("ndcg", "coverage", "return")
WIDE_COLUMNS = ("ndcg", "hit_rate", "coverage", "novelty", "return", "slates", "CPU-s")


def compare(
    experiments: Annotated[list[Path] | None, typer.Argument(help="Experiments' YAML files.")] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Folder that `rec-platform ingest` wrote; all are put on it.")
    ] = None,
    split: Split = "leave-last-one-out",
    k: ListLength = 10,
    positives: Positives = "every-rating",
    seeds: Annotated[int, typer.Option(min=1, help="Fits or trainings of each; 3 to 5 for a result.")] = 1,
    users: Annotated[int, typer.Option(min=2, help="Fresh simulated users, the same for all.")] = 2_000,
    simulator: Annotated[
        Path | None, typer.Option(help="An experiment whose simulated users judge, where those compared name none.")
    ] = None,
    slices: Annotated[
        Literal["none", "segments"],
        typer.Option(help="On the page and in --json also tell users apart by RFM segment, from the earlier part."),
    ] = "none",
    no_simulation: Annotated[bool, typer.Option("--no-simulation", help="Leave simulated users out.")] = False,
    no_ranking: Annotated[bool, typer.Option("--no-ranking", help="Leave the held-out events out.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use nothing that an earlier comparison has kept.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    home: Annotated[Path | None, typer.Option(help="State folder; default $REC_PLATFORM_HOME.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Fit or train recommenders on the earlier part of a log; rank the rest, and play with simulated users.

    What was measured is kept in the state folder, so an interrupted comparison goes on. Nothing is registered.
    """
    if dataset is None:
        raise InputError("--dataset", "is missing", "name the folder that `rec-platform ingest` wrote")
    check_report(report)

    from rec_platform.training.comparison.entries import read_entries
    from rec_platform.training.comparison.run import compare as run
    from rec_platform.training.comparison.stage import ComparisonSettings

    files = experiments or []
    entries = read_entries(files, dataset, simulator)
    settings = ComparisonSettings(
        split=split,
        k=k,
        positives=positives,
        seeds=seeds,
        users=users,
        ranking=not no_ranking,
        simulation=not no_simulation,
        fresh=fresh,
        by_segment=slices == "segments",
    )
    done = run(
        entries,
        dataset,
        settings,
        platform_home(home),
        on_phase=tell,
        bar=training_bar,
    )
    if report is not None:
        from rec_platform.evaluation.comparison.page import write_comparison_page

        options: dict[str, Any] = {
            "--dataset": dataset, "--split": split, "--k": k, "--positives": positives, "--seeds": seeds,
            "--users": users, "--simulator": simulator, "--slices": slices, "--no-simulation": no_simulation,
            "--no-ranking": no_ranking,
        }  # fmt: skip
        write_comparison_page(report, done, command=command_line(files, options))
    if json_:
        print_json(done.to_dict())
        return
    show(done)


def show(comparison: Comparison) -> None:
    """The tables and what they come to, on stdout."""
    from rec_platform.evaluation.comparison.table import columns_of, head, rows, seed_rows, sentences

    columns = columns_of(comparison, WIDE_COLUMNS if stdout.width >= WIDE else NARROW_COLUMNS)
    asked = f"{comparison.split}, {comparison.seeds} seed" + ("s" if comparison.seeds > 1 else "")
    stdout.print(_table(f"{comparison.dataset}: {asked}", head(comparison, columns), rows(comparison, columns)))
    names, lines = seed_rows(comparison)
    if lines:
        short = [number for number, name in enumerate(names) if name != "each seed"]
        title = "means and standard errors over seeds"
        stdout.print(_table(title, [names[i] for i in short], [[line[i] for i in short] for line in lines]))
    for line in [*sentences(comparison), *comparison.remarks]:
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def command_line(files: list[Path], options: dict[str, Any]) -> str:
    """The command that gives the same figures."""
    parts = ["rec-platform", "compare", *map(str, files)]
    for name, value in options.items():
        if value is True:
            parts.append(name)
        elif value is not False and value is not None:
            parts += [name, str(value)]
    return shlex.join(parts)


def _table(title: str, names: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table
