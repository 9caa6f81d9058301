"""Rows of the event store, whole but for what a test is about."""

from __future__ import annotations

from typing import Any


def row(event_id: str, **changes: Any) -> dict[str, Any]:
    """A click of user ``u`` on item ``i``."""
    return {
        "event_id": event_id, "type": "interaction", "user_id": "u", "session_id": None, "recommendation_id": None,
        "item_id": "i", "action": "click", "value": None, "occurred_at": 1, "received_at": 1, "source": "client",
        "body": "{}",
    } | changes  # fmt: skip


def decision(decision_id: str, **changes: Any) -> dict[str, Any]:
    """A slate of one item for user ``u``, as programs of schema version 1 logged it."""
    return {
        "decision_id": decision_id, "user_id": "u", "session_id": "s", "placement": None, "created_at": 1,
        "previous_decision_id": None, "model_name": "m", "model_version": "1", "model_alias": None, "policy": "m",
        "sampler": "{}", "catalog_hash": "x", "candidates": None, "excluded": "[]", "items": '["i"]', "scores": "[1.0]",
        "propensities": "[0.5]", "propensity_kind": "slot_marginal", "history": "[]", "history_feedback": "[]",
        "user_features": "[]", "context": '{"served":{"hour":2.0},"given":{}}', "labels": "{}", "request_hash": "",
        "response": "{}",
    } | changes  # fmt: skip
