"""A small model for the service's tests: an ONNX network that looks at history, context and user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.users import UserEncoder
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import OnnxScorer, StaticScorer
from rec_platform.registry import BundleManifest, ModelRegistry, ObservationContract, write_bundle

USER = UserEncoder(ages=True, genders=("f", "m"))
CONTEXT = ("session_slates", "session_response_rate", "hour")
HISTORY = 5


def make_catalog(items: int) -> Catalog:
    """Items i0, i1 …"""
    return Catalog(
        item_ids=tuple(f"i{n}" for n in range(items)),
        titles=("",) * items,
        features=np.random.default_rng(0).normal(size=(items, 4)).astype(np.float32),
        feature_names=("a", "b", "c", "d"),
        popularity=np.full(items, 1 / items, dtype=np.float32),
    )


def network(items: int, *, seed: int = 0) -> bytes:
    """values[b, m] = item(candidate) · (mean of feedback × item(history) + W user + V context)."""
    rng = np.random.default_rng(seed)
    weights = {
        "vectors": rng.normal(size=(items, 8)),
        "from_user": rng.normal(size=(len(USER.names), 8)),
        "from_context": rng.normal(size=(len(CONTEXT), 8)),
    }
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Gather", ["vectors", "history"], ["seen"]),
            node("Unsqueeze", ["history_feedback", "last"], ["weight"]),
            node("Mul", ["seen", "weight"], ["weighted"]),
            node("ReduceMean", ["weighted", "one"], ["taste"], keepdims=0),
            node("MatMul", ["user_features", "from_user"], ["of_user"]),
            node("MatMul", ["context", "from_context"], ["of_context"]),
            node("Sum", ["taste", "of_user", "of_context"], ["state"]),
            node("Gather", ["vectors", "candidates"], ["offered"]),
            node("Unsqueeze", ["state", "last"], ["column"]),
            node("MatMul", ["offered", "column"], ["products"]),
            node("Squeeze", ["products", "last"], ["values"]),
        ],
        "scorer",
        [
            helper.make_tensor_value_info("user_features", TensorProto.FLOAT, ["B", len(USER.names)]),
            helper.make_tensor_value_info("history", TensorProto.INT32, ["B", HISTORY]),
            helper.make_tensor_value_info("history_feedback", TensorProto.FLOAT, ["B", HISTORY]),
            helper.make_tensor_value_info("context", TensorProto.FLOAT, ["B", len(CONTEXT)]),
            helper.make_tensor_value_info("candidates", TensorProto.INT32, ["B", "M"]),
        ],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["B", "M"])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
        + [numpy_helper.from_array(np.array([n], np.int64), name) for name, n in (("last", 2), ("one", 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_network(folder: Path, *, items: int = 40, seed: int = 0, full_catalogue: bool = True) -> BundleManifest:
    """A bundle that samples slates of 3 by Plackett–Luce."""
    return write_bundle(
        folder,
        policy=Policy("tiny", OnnxScorer(network(items, seed=seed)), PlackettLuce(0.7)),
        greedy_sampler=Greedy(),
        catalog=make_catalog(items),
        observation=ObservationContract(
            history_length=HISTORY,
            user_feature_names=USER.names,
            context_names=CONTEXT,
            slate_size=3,
            full_catalogue=full_catalogue,
        ),
        user_encoder=USER.to_dict(),
        feedback=FeedbackRule(),
    )


def write_broken(folder: Path) -> BundleManifest:
    """A bundle that verifies and cannot answer: its scores are not numbers."""
    return write_bundle(
        folder,
        policy=Policy("broken", StaticScorer(np.full(40, np.nan, np.float32)), PlackettLuce()),
        greedy_sampler=Greedy(),
        catalog=make_catalog(40),
        observation=ObservationContract(history_length=HISTORY, slate_size=3, full_catalogue=True),
        feedback=FeedbackRule(),
    )


def register_network(home: Path, *, items: int = 40, seed: int = 0, full_catalogue: bool = True) -> int:
    """Register it as ``tiny`` and promote it."""
    registry = ModelRegistry(home)
    version = registry.register(
        "tiny", lambda folder: write_network(folder, items=items, seed=seed, full_catalogue=full_catalogue)
    )
    registry.promote("tiny", version)
    return version


def click(event_id: str, item_id: str, **changes: object) -> dict:
    """An interaction event."""
    event = {"event_id": event_id, "type": "interaction", "user_id": "u", "item_id": item_id, "action": "click"}
    return event | changes
