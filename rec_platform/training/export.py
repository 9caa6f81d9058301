"""From a trained network to a scorer that runs anywhere: ONNX, checked against the network before it is handed on."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.dot import DotNetwork
from rec_platform.policies.networks.slate import ActorCritic
from rec_platform.policies.policy import Scorer
from rec_platform.policies.scorers.onnx import INPUTS, OUTPUTS, OnnxScorer
from rec_platform.types import Observation

TOLERANCE = 1e-5


class _Actor(nn.Module):
    """Scores of the candidates; positions without a candidate get some finite value (samplers mask them)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

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
        if isinstance(self.network, DotNetwork):
            return (self.network(obs | {"context": context[:, :0]}).gather(1, at),)
        if isinstance(self.network, ActorCritic):
            return (self.network(obs)[0].gather(1, at),)
        values, masses, null_value, null_mass = self.network(obs)
        return values.gather(1, at), masses.gather(1, at), null_value, null_mass


def export_scorer(network: nn.Module, example: Observation) -> Scorer:
    """The network as an `OnnxScorer`.

    Args:
        network: an `ActorCritic`, a `SlateValue`, or the `DotNetwork` of a warm start.
        example: some observations (at least two) of the right sizes; the export is checked on them.

    Raises:
        RuntimeError: the exported graph does not answer what the network answers.
    """
    wrapped = _Actor(network).eval()
    arguments = tuple(torch.from_numpy(np.ascontiguousarray(getattr(example, name))) for name in INPUTS)
    names = list(OUTPUTS[:1] if isinstance(network, ActorCritic | DotNetwork) else OUTPUTS)
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
