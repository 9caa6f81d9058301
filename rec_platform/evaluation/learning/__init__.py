"""How a learner learns, one metric a file: what it earned, how much it explored, and whether it has come to rest."""

from __future__ import annotations

from rec_platform.evaluation.learning.convergence import settled_share, value_change
from rec_platform.evaluation.learning.cumulative_reward import cumulative_reward
from rec_platform.evaluation.learning.exploration_rate import exploration_rate

__all__ = ["cumulative_reward", "exploration_rate", "settled_share", "value_change"]
