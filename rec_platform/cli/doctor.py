"""``rec-platform doctor``: what would go wrong, before anything starts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rec_platform.cli.output import print_json, stdout
from rec_platform.cli.serve import DEFAULT_CONFIG

BAD_INPUT = 2
MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


def doctor(
    config: Annotated[Path, typer.Option("--config", help="The Ray Serve YAML file to be served.")] = DEFAULT_CONFIG,
    model: Annotated[str | None, typer.Option("--model", help="Instead of the file's.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Instead of the file's.")] = None,
    home: Annotated[Path | None, typer.Option("--home", envvar="REC_PLATFORM_HOME", help="The state folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Look at versions, ports, Serve YAML, store, model and catalogue. Exit code 2 where the service would not run."""
    from rich.markup import escape

    from rec_platform.serving.doctor import examine

    none_here = config == DEFAULT_CONFIG and not config.exists()
    checks = examine(None if none_here else config, model_name=model, port=port, home=home)
    fine = all(check.status != "error" for check in checks)
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "ok": fine})
    else:
        for check in checks:
            line = f"{MARKS[check.status]} [bold]{check.name}[/]: {escape(check.message)}"
            stdout.print(line, highlight=False, soft_wrap=True)
            if check.fix:
                stdout.print(f"    → {escape(check.fix)}", highlight=False, soft_wrap=True)
    if not fine:
        raise typer.Exit(BAD_INPUT)
