"""Which events went with a response."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_dataset import event, tiny_dataset

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError

DAY = 86_400.0


def built(folder: Path, events: list[dict[str, Any]], *names: str, automatic: bool = False) -> EventChannels:
    dataset = tiny_dataset(folder, events)
    catalog = dataset.catalog()
    return EventChannels.build(dataset, catalog, Histories.build(dataset, catalog), None if automatic else names)


def test_a_purchase_counts_within_a_day_of_the_click(tmp_path: Path) -> None:
    events = [
        event("u", "a", 0),
        event("u", "a", DAY, "purchase"),  # exactly a day later
        event("u", "b", 1),
        event("u", "b", 1 + DAY + 0.001, "purchase"),  # a millisecond too late
        event("u", "c", 2),
        event("v", "c", 3, "purchase"),  # somebody else's
        event("v", "d", 5),
        event("v", "d", 4, "purchase"),  # before the click
        event("w", "e", 7),
        event("w", "e", 7, "purchase"),  # at once: one entry of the history
    ]
    dataset = tiny_dataset(tmp_path, events)
    catalog = dataset.catalog()
    histories = Histories.build(dataset, catalog)
    channels = EventChannels.build(dataset, catalog, histories, ["purchase"])
    seen = {
        (histories.user_ids[user], catalog.item_ids[item], time / 1e6): bool(happened)
        for user, item, time, happened in zip(
            histories.user_of_event, histories.items, histories.timestamps, channels.happened[:, 0], strict=True
        )
    }
    assert channels.names == ("purchase",)
    assert seen == {
        ("u", "a", 0.0): True,
        ("u", "b", 1.0): False,
        ("u", "c", 2.0): False,
        ("u", "a", DAY): True,  # the purchase is a response of its own
        ("u", "b", 1 + DAY + 0.001): True,
        ("v", "c", 3.0): True,
        ("v", "d", 4.0): True,
        ("v", "d", 5.0): False,
        ("w", "e", 7.0): True,
    }


def test_ratings_from_a_value_on(tmp_path: Path) -> None:
    values = [3.0, 4.0, 5.0, 4.5]
    events = [event("u", "abcd"[n], n, "rating", value=value) for n, value in enumerate(values)]
    channels = built(tmp_path, events, "rating>=5", "rating>=4.5", "rating>=1")
    assert channels.happened.T.tolist() == [[False, False, True, False], [False, False, True, True], [True] * 4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("purchas", r"simulator.channels: the log has no event 'purchas' \(did you mean 'purchase'"),
        ("rating>=5", r"no event 'rating>=5' \(known: click, purchase\)"),
        ("consume", "'consume' is the response itself"),
    ],
)
def test_unknown_channels(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        built(tmp_path, [event("u", "a", 0), event("u", "a", 1, "purchase")], name)


def test_a_name_may_stand_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"simulator.channels: purchase, purchase"):
        built(tmp_path, [event("u", "a", 0), event("u", "a", 1, "purchase")], "purchase", "purchase")


def many(name: str, count: int, first_user: int = 0) -> list[dict[str, Any]]:
    return [event(f"u{first_user + n:03d}", "a", 10, name) for n in range(count)]


def test_chosen_by_itself(tmp_path: Path) -> None:
    """Not the most frequent event, not a negative or neutral one, not a rare one, not the response's own name."""
    events = [
        *many("click", 120),
        *many("purchase", 60),
        *many("like", 50, first_user=30),
        *many("add_to_cart", 49),
        *many("consume", 70),
        *many("skip", 80, first_user=200),
        *many("view", 90),
    ]
    channels = built(tmp_path, events, automatic=True)
    assert channels.names == ("purchase", "like")
    assert channels.happened.sum(axis=0).tolist() == [60, 50]
    assert len(channels.happened) == 200


def test_an_event_that_goes_with_every_response_is_no_channel(tmp_path: Path) -> None:
    assert built(tmp_path, many("click", 60) + many("like", 60), automatic=True).names == ()
    assert built(tmp_path / "one", many("click", 60), automatic=True).happened.shape == (60, 0)
    assert built(tmp_path / "asked", many("click", 60) + many("like", 60), "like").happened.all()


def test_select(tmp_path: Path) -> None:
    events = [event("u", "a", 0), event("u", "b", 1), event("v", "a", 2), event("v", "a", 3, "purchase")]
    dataset = tiny_dataset(tmp_path, [*events, event("w", "c", 4), event("w", "c", 5, "purchase")])
    catalog = dataset.catalog()
    histories = Histories.build(dataset, catalog)
    channels = EventChannels.build(dataset, catalog, histories, ["purchase"])
    assert channels.happened[:, 0].tolist() == [False, False, True, True, True, True]
    assert channels.select(histories, np.array([1, 0])).happened[:, 0].tolist() == [True, True, False, False]
    assert channels.select(histories, np.array([True, False, False])).happened.shape == (2, 1)
