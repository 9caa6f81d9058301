"""The pieces of an HTML file that stands alone: the page, plain tables, figures as SVG."""

from __future__ import annotations

import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430 }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100% } th, td { padding: .35rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr + tr { border-top: 1px solid #dde3ea }
p.note { color: #56616f } pre { white-space: pre-wrap } svg { max-width: 100%; height: auto }
"""


def write_page(path: Path, *, title: str, parts: Sequence[str]) -> None:
    """Write one whole HTML file beside ``path`` and rename it there.

    Args:
        parts: HTML below the heading, already escaped.
    """
    head = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text("\n".join([*head, *parts, "</body></html>"]), encoding="utf-8")
    os.replace(beside, path)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain texts."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table><tr>{first}</tr>{''.join(body)}</table>"


def svg(figure: Any) -> str:
    """A matplotlib figure as an SVG element."""
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]
