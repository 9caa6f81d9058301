"""The dashboard shows every metric there is, by tags that it has, and none that there is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rec_platform.serving.observability.instruments import Histogram
from rec_platform.serving.observability.meters import Meters

FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "rec_platform.json"


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(FILE.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_every_metric_is_shown_and_every_one_shown_exists() -> None:
    there = set()
    for instrument in Meters().instruments:
        there.add(instrument.full_name + ("_bucket" if isinstance(instrument, Histogram) else ""))
    shown = [name for query in queries() for name in re.findall(r"\$\{prefix\}(\w+)", query)]
    assert set(shown) == there
    assert sum(query.count("rec_platform_") for query in queries()) == len(shown)  # each after the prefix


def test_its_tags_exist() -> None:
    tags: dict[str, set[str]] = {i.full_name: set(i.tags) for i in Meters().instruments}
    for query in queries():
        used = {name.removesuffix("_bucket") for name in re.findall(r"rec_platform_\w+", query)}
        named = set(re.findall(r"(\w+)=\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            named |= {name.strip() for name in group.split(",")}
        assert named - {"le"} <= set.union(*(tags[name] for name in used)), query
        assert query.count("(") == query.count(")")


def test_panels_do_not_overlap() -> None:
    every = json.loads(FILE.read_text())["panels"]
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in every}) == len(every)
