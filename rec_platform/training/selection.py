"""Which of the networks met while training is kept: the best of a few that were judged.

The first of them is the one that training starts from. Others are kept only where they are better than it by more than
chance, so that a warm start is not given up for noise. Value-based learners can pass their best policy and come back to
it only much later. The evaluation simulator takes no part in the choice, so its figures stay honest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.policy import Policy, Sampler, Scores
from rec_platform.simulation.simulator import Simulator
from rec_platform.training.engine.columns import Columns, candidate_scores
from rec_platform.types import Float64, Observation

SURE = 2.0
"""Standard errors."""


@dataclass(frozen=True, slots=True)
class NetworkScorer:
    """A torch network as a scorer, for judging it while it trains; what is kept is exported to ONNX."""

    network: CandidateNetwork
    num_items: int

    def score(self, observation: Observation) -> Scores:
        return candidate_scores(self.network, observation, self.num_items)


@dataclass
class Selection:
    """Judges networks at even distances and remembers the best.

    Attributes:
        simulator: whose users judge (`World.judging`).
        sampler: how the policy is served without exploration.
        every: environment steps between two judgements, the first before training; 0 keeps the last network.
        users, seed: of the sessions that judge; the same users each time.
        judged: (environment steps, mean return) of each judgement.
        weights: of the network that is kept; None before the first judgement.
        kept: the number of its judgement.
        start: float64 [users] returns of the network that training started from.
    """

    simulator: Simulator
    sampler: Sampler
    every: int
    users: int
    seed: int
    judged: list[tuple[int, float]] = field(default_factory=list)
    weights: Columns | None = None
    kept: int | None = None
    start: Float64 | None = None

    def due(self, steps: int, total: int) -> bool:
        """Whether the network after ``steps`` of ``total`` should be judged."""
        if not self.every:
            return False
        return not self.judged or steps >= total or steps - self.judged[-1][0] >= self.every

    def judge(self, steps: int, network: CandidateNetwork, weights: Columns) -> float:
        """Mean return of ``network``; its ``weights`` are kept if it is the best and better than the start."""
        policy = Policy("candidate", NetworkScorer(network, self.simulator.spec.num_items), self.sampler)
        returns = rollout(policy, self.simulator, users=self.users, seed=self.seed).returns
        mean = float(returns.mean())
        if self.start is None:
            self.start = returns
        if self.kept is None or (mean > self.judged[self.kept][1] and surely_above(returns, self.start)):
            self.weights, self.kept = weights, len(self.judged)
        self.judged.append((steps, mean))
        return mean

    def get_state(self) -> dict[str, Any]:
        """The judgements and the network that is kept."""
        return {"judged": self.judged, "best": self.weights, "kept": self.kept, "start": self.start}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` took."""
        self.judged = [(int(steps), float(mean)) for steps, mean in state["judged"]]
        self.weights, self.kept, self.start = state["best"], state["kept"], state["start"]


def surely_above(returns: Float64, others: Float64) -> bool:
    """Whether the mean difference on the same users is more than `SURE` of its standard errors above 0."""
    gap = returns - others
    return bool(gap.mean() > SURE * gap.std(ddof=1) / math.sqrt(len(gap)))
