"""What is known of items and users beyond the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from stored_rows import row

from rec_platform.serving.store import EventStore, StoredItem, now_us


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def test_items_are_put_patched_and_deleted(store: EventStore) -> None:
    before = now_us()
    assert store.put_items({"a": {"price": 1.5, "in_stock": True, "tags": {"x": 1}}, "b": {}}).result() == 2
    assert (
        store.put_items({"a": {"price": None, "tags": {"y": 2}}, "c": {"new": 1, "no": None}}, patch=True).result() == 2
    )
    found = store.items(["a", "b", "c", "unknown"])
    assert {name: item.body for name, item in found.items()} == {
        "a": {"in_stock": True, "tags": {"y": 2}},
        "b": {},
        "c": {"new": 1},
    }
    assert all(before <= item.updated_at <= now_us() and not item.deleted for item in found.values())
    assert store.put_items({"a": {"price": 2}}).result() == 1
    assert store.delete_items(["b", "only_the_model_knows", "b"]).result() == 2
    deleted = store.item("only_the_model_knows")
    assert deleted is not None
    assert (deleted.body, deleted.deleted) == ({}, True)
    assert store.item("a") == StoredItem("a", {"price": 2}, store.items(["a"])["a"].updated_at, False)
    assert store.put_items({"b": {"back": 1}}, patch=True).result() == 1
    again = store.item("b")
    assert again is not None
    assert (again.body, again.deleted, store.item("unknown")) == ({"back": 1}, False, None)
    assert (
        store.put_items({}).result() == store.put_items({}, patch=True).result() == store.delete_items([]).result() == 0
    )


def test_what_changed_since(store: EventStore) -> None:
    store.put_items({"a": {}, "b": {}}).result()
    moment = max(item.updated_at for item in store.items_since(0)) + 1
    assert store.items_since(moment) == []
    store.delete_items(["a"]).result()
    assert [(item.item_id, item.deleted) for item in store.items_since(moment)] == [("a", True)]
    assert [item.item_id for item in store.items_since(0)] == ["b", "a"]


def test_two_replicas_patch_one_item_and_neither_change_is_lost(store_url: str) -> None:
    stores = [EventStore(store_url) for _ in range(2)]

    def patch(number: int) -> None:
        for turn in range(15):
            stores[number].put_items({"a": {f"{number}-{turn}": 1}, "b": {f"{number}-{turn}": 1}}, patch=True).result()

    threads = [threading.Thread(target=patch, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(item.body) for item in stores[0].items(["a", "b"]).values()] == [30, 30]
    for store in stores:
        store.close()


def test_users_are_read_and_deleted(store: EventStore) -> None:
    store.put_users([{"user_id": "u", "body": '{"age": 3}'}, {"user_id": "v", "body": "{}"}])
    store.add_events([row("e")]).result()
    assert (store.user("u"), store.user("v"), store.user("w")) == ({"age": 3}, {}, None)
    assert store.delete_users(["u", "w"]).result() == 1
    assert (store.user("u"), store.counts()["events"]) == (None, 1)
