"""Something to serve where nothing was trained: a network of the usual size, and users with a history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import OnnxScorer
from rec_platform.registry import ModelRegistry, ObservationContract, write_bundle
from rec_platform.serving.store import EventStore, now_us

NAME = "bench"
CONTEXT = ("session_slates", "session_response_rate", "hour")
DIMENSIONS = 64
SLATE = 10
CHUNK_ROWS = 5000


def register_model(home: Path, *, items: int, history: int) -> None:
    """Register and promote it as ``bench``."""
    rng = np.random.default_rng(0)
    names = tuple(f"i{n}" for n in range(items))
    features = rng.normal(size=(items, 8)).astype(np.float32)
    feature_names = tuple(f"f{n}" for n in range(8))
    catalog = Catalog(names, ("",) * items, features, feature_names, rng.dirichlet(np.ones(items)).astype(np.float32))
    contract = ObservationContract(
        history_length=history, context_names=CONTEXT, slate_size=min(SLATE, items), full_catalogue=True
    )
    registry = ModelRegistry(home)
    version = registry.register(
        NAME,
        lambda folder: write_bundle(
            folder,
            policy=Policy(NAME, OnnxScorer(network(items, history=history)), PlackettLuce(1.0)),
            greedy_sampler=Greedy(),
            catalog=catalog,
            observation=contract,
            feedback=FeedbackRule(),
        ),
    )
    registry.promote(NAME, version)


def network(items: int, *, history: int) -> bytes:
    """An ONNX graph like those that training writes for the ``mean`` encoder and a catalogue that is scored whole.

    values[b, m] = item(candidates[b, m]) · relu(W [mean of feedback × item(history); context]), item vectors of
    `DIMENSIONS`; every item is scored, then the candidates are picked.
    """
    rng = np.random.default_rng(0)
    node = helper.make_node
    weights = {
        "vectors": rng.normal(size=(items, DIMENSIONS)) / np.sqrt(DIMENSIONS),
        "columns": np.zeros((DIMENSIONS, items)),
        "layer": rng.normal(size=(DIMENSIONS + len(CONTEXT), DIMENSIONS)) / np.sqrt(DIMENSIONS),
    }
    weights["columns"] = weights["vectors"].T
    constants: dict[str, np.ndarray] = {
        "last": np.array([2], np.int64),
        "one": np.array([1], np.int64),
        "zero": np.array(0, np.int32),
    }
    graph = helper.make_graph(
        [
            node("Max", ["history", "zero"], ["seen_at"]),
            node("Gather", ["vectors", "seen_at"], ["seen"]),
            node("Unsqueeze", ["history_feedback", "last"], ["weight"]),
            node("Mul", ["seen", "weight"], ["weighted"]),
            node("ReduceMean", ["weighted", "one"], ["taste"], keepdims=0),
            node("Concat", ["taste", "context"], ["state"], axis=1),
            node("MatMul", ["state", "layer"], ["hidden"]),
            node("Relu", ["hidden"], ["wish"]),
            node("MatMul", ["wish", "columns"], ["everything"]),
            node("Max", ["candidates", "zero"], ["offered_at"]),
            node("GatherElements", ["everything", "offered_at"], ["values"], axis=1),
        ],
        "scorer",
        [
            helper.make_tensor_value_info("history", TensorProto.INT32, ["B", history]),
            helper.make_tensor_value_info("history_feedback", TensorProto.FLOAT, ["B", history]),
            helper.make_tensor_value_info("context", TensorProto.FLOAT, ["B", len(CONTEXT)]),
            helper.make_tensor_value_info("candidates", TensorProto.INT32, ["B", "M"]),
        ],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["B", "M"])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
        + [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def add_users(store_url: str, item_ids: tuple[str, ...], *, users: int, history: int) -> None:
    """Users ``bench-0``, ``bench-1`` … in the event store, each with ``history`` clicks on items at random."""
    rng = np.random.default_rng(1)
    chosen = rng.integers(len(item_ids), size=(users, history))
    received = now_us()
    rows = [
        {
            "event_id": f"bench-history-{user}-{place}",
            "type": "interaction",
            "user_id": f"bench-{user}",
            "session_id": None,
            "recommendation_id": None,
            "item_id": item_ids[chosen[user, place]],
            "action": "click",
            "value": None,
            "occurred_at": received - 1_000_000 * (history - place),
            "received_at": received,
            "source": "import",
            "body": "{}",
        }
        for user in range(users)
        for place in range(history)
    ]
    store = EventStore(store_url)
    try:
        waiting = [store.import_events(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS)]
        for future in waiting:
            future.result()
    finally:
        store.close()
