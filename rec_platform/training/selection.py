"""Which of the networks met while training is kept: the best of a few judged in the *training* simulator.

The first of them is the one that training starts from: a warm start that training makes worse is kept as it was.
Value-based learners can pass their best policy and come back to it only much later. The evaluation simulator takes no
part in the choice, so its figures stay honest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.policy import Policy, Sampler, Scores
from rec_platform.simulation.simulator import Simulator
from rec_platform.training.engine.columns import Columns, candidate_scores
from rec_platform.types import Observation


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
        simulator: the training simulator.
        sampler: how the policy is served without exploration.
        every: environment steps between two judgements, the first before training; 0 keeps the last network.
        users, seed: of the sessions that judge; the same users each time.
        judged: (environment steps, mean return) of each judgement.
        weights: of the best network so far; None before the first judgement.
    """

    simulator: Simulator
    sampler: Sampler
    every: int
    users: int
    seed: int
    judged: list[tuple[int, float]] = field(default_factory=list)
    weights: Columns | None = None

    def due(self, steps: int, total: int) -> bool:
        """Whether the network after ``steps`` of ``total`` should be judged."""
        if not self.every:
            return False
        return not self.judged or steps >= total or steps - self.judged[-1][0] >= self.every

    def judge(self, steps: int, network: CandidateNetwork, weights: Columns) -> float:
        """Mean return of ``network``; its ``weights`` are kept if no earlier one was better."""
        policy = Policy("candidate", NetworkScorer(network, self.simulator.spec.num_items), self.sampler)
        mean = float(rollout(policy, self.simulator, users=self.users, seed=self.seed).returns.mean())
        if not self.judged or mean > max(value for _, value in self.judged):
            self.weights = weights
        self.judged.append((steps, mean))
        return mean
