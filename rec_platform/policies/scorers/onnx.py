"""A network as ONNX, run by ONNX Runtime on one thread: the same file in evaluation and in the service."""

from __future__ import annotations

import numpy as np
import onnxruntime

from rec_platform.errors import InputError
from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Observation

FILE = "scorer.onnx"
INPUTS = ("user_features", "history", "history_feedback", "context", "candidates")
PADDING = {"history": -1, "history_feedback": 0}
OUTPUTS = ("values", "masses", "null_value", "null_mass")


class OnnxScorer:
    """Scores by a graph whose inputs are the fields of `Observation` (those it uses) and whose outputs are `Scores`'.

    Of a longer history it sees the newest events that the graph has room for, a shorter one is padded.

    Args:
        model: the serialised ONNX graph. Inputs among `INPUTS`, outputs ``values`` and, for SlateQ, all of `OUTPUTS`.
        batch: rows a run; larger observations are cut, so that memory stays bounded.
    """

    def __init__(self, model: bytes, *, batch: int = 1024) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InputError(FILE, f"is no ONNX graph that this runtime can load: {error}") from error
        self._model = model
        self._batch = batch
        self._inputs = tuple(i.name for i in self._session.get_inputs())
        self._widths = {i.name: i.shape[1] for i in self._session.get_inputs()}
        self._outputs = tuple(o.name for o in self._session.get_outputs())
        if not set(self._inputs) <= set(INPUTS) or self._outputs not in (OUTPUTS[:1], OUTPUTS):
            raise InputError(FILE, f"has inputs {self._inputs} and outputs {self._outputs}", "export it with `train`")

    def score(self, observation: Observation) -> Scores:
        feeds = {name: self._fitting(name, getattr(observation, name)) for name in self._inputs}
        rows = observation.batch_size
        parts = [
            self._session.run(None, {name: array[start : start + self._batch] for name, array in feeds.items()})
            for start in range(0, max(rows, 1), self._batch)
        ]
        columns = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Scores(*columns)

    def _fitting(self, name: str, array: np.ndarray) -> np.ndarray:
        """What the graph was made for: of a history as much as it looks at, of features that it ignores none."""
        width, given = self._widths[name], array.shape[1]
        if width == 0 or (name in PADDING and width == given):
            return array[:, :width]
        if name not in PADDING:
            return array
        if width < given:
            return np.ascontiguousarray(array[:, -width:])
        return np.pad(array, ((0, 0), (width - given, 0)), constant_values=PADDING[name])

    def export(self) -> ScorerExport:
        return ScorerExport({"kind": "onnx"}, {}, {FILE: self._model})

    def __reduce__(self) -> tuple:
        return OnnxScorer, (self._model,)
