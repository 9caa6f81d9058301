"""From a trained network to a scorer that runs anywhere: ONNX, checked against the network before it is handed on."""

from __future__ import annotations

import copy
import io
import logging
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import SMALL_CATALOGUE, CandidateNetwork
from rec_platform.policies.networks.dot import ItemVectors
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers.onnx import INPUTS, OnnxScorer
from rec_platform.types import Observation

TOLERANCE = 1e-5


class _Graph(nn.Module):
    """Scores of the candidates; positions without a candidate get some finite value (samplers mask them)."""

    def __init__(self, network: CandidateNetwork, *, whole: bool) -> None:
        super().__init__()
        self.network = network
        self.whole = whole

    def forward(
        self, user_features: Tensor, history: Tensor, history_feedback: Tensor, context: Tensor, candidates: Tensor
    ) -> tuple[Tensor, ...]:
        obs = {
            "user_features": user_features,
            "history": history,
            "history_feedback": history_feedback,
            "context": context,
        }
        at = candidates.clamp(min=0).long()
        if self.whole and not self.network.by_candidates:
            return tuple(part.gather(1, at) if part.dim() == 2 else part for part in self.network.scores(obs))
        return self.network.scores(obs, at, candidates >= 0)


def export_scorer(network: CandidateNetwork, example: Observation, *, num_items: int) -> Scorer:
    """The network as an `OnnxScorer`. Item vectors are worked out once, and stored in it.

    Args:
        network: any; it is not changed.
        num_items: N; where requests have about as many candidates, the graph scores all items and picks.
        example: some observations (at least two) of the right sizes; the export is checked on them.

    Raises:
        RuntimeError: the exported graph does not answer what the network answers.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, ItemVectors):
            module.fold()
    whole = num_items <= SMALL_CATALOGUE * example.candidates.shape[1]
    wrapped = _Graph(network, whole=whole).eval()
    arguments = tuple(torch.from_numpy(np.ascontiguousarray(getattr(example, name))) for name in INPUTS)
    names = list(network.outputs)
    shapes = {name: {0: torch.export.Dim.AUTO} for name in INPUTS[:-1]}
    shapes["candidates"] = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            wrapped, arguments, dynamo=True, input_names=list(INPUTS), output_names=names, dynamic_shapes=shapes,
            verbose=False,
        )  # fmt: skip
        assert program is not None  # it is what dynamo=True gives
        program.save(buffer)  # type: ignore[arg-type]  # a buffer will do: onnx writes to either
    scorer = OnnxScorer(buffer.getvalue())
    for rows in (example.batch_size, 1):  # an export that fixed the batch size must not pass
        part = example.take(np.arange(rows))
        with torch.no_grad():
            expected = wrapped(*(torch.from_numpy(np.ascontiguousarray(getattr(part, name))) for name in INPUTS))
        got = scorer.score(part)
        for name, value in zip(names, expected, strict=True):
            answer = getattr(got, name)
            scale = max(1.0, float(value.abs().max()))
            if answer.shape != value.shape or not np.abs(answer - value.numpy()).max() < TOLERANCE * scale:
                raise RuntimeError(f"the ONNX scorer's {name} differ from the network's for {rows} rows")
    return scorer
