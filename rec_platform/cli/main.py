"""The command `rec-platform`. Commands are imported when they are called: `--help` needs neither Ray nor torch."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from rec_platform.cli import (
    bench,
    compare,
    doctor,
    erase,
    evaluate,
    ingest,
    join,
    keys,
    models,
    prune,
    quickstart,
    segment,
    serve,
    train,
)
from rec_platform.errors import InputError

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""Click's ClickException, from whichever click typer brings."""

BAD_INPUT = 2
FAILED = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reinforcement-learning recommenders, from interaction logs to a live service.",
)
app.command("quickstart")(quickstart.quickstart)
app.command("ingest")(ingest.ingest)
app.command("segment")(segment.segment)
app.command("join")(join.join)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.command("doctor")(doctor.doctor)
app.command("erase")(erase.erase)
app.command("prune")(prune.prune)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 bad input."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    errors = Console(stderr=True)
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except InputError as error:
        errors.print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        return BAD_INPUT
    except USAGE_ERROR as error:
        error.show()  # type: ignore[attr-defined]
        return BAD_INPUT
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        errors.print("stopped")
        return 130
    except Exception as error:
        errors.print(f"[bold red]failed:[/] {type(error).__name__}: {_plain(error)}", highlight=False, soft_wrap=True)
        errors.print("run again with REC_PLATFORM_DEBUG=1 to see where", style="dim")
        if _debugging():
            raise
        return FAILED


def _plain(error: Exception) -> str:
    return str(error).replace("[", "\\[")


def _debugging() -> bool:
    import os

    return bool(os.environ.get("REC_PLATFORM_DEBUG"))
