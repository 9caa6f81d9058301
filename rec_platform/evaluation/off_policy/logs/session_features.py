"""What is known of a session at each of its steps: the states of linear fitted Q.

The step itself, what was earned so far and just now, the context as logged, and the user's features as the target sees
them. What was shown before is not among them: a model of sessions corrects weights here, it need not be right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.logs.shown_sessions import ShownSessions
from rec_platform.evaluation.off_policy.logs.target_steps import ModelSteps, UniformSteps
from rec_platform.types import Float64

FIRST_STEPS = 10
"""So many steps have a column of their own; later ones share the last."""

MOST_CONTEXT = 32


def session_features(
    sessions: ShownSessions, feedback: EpisodeFeedback, targets: Sequence[ModelSteps | UniformSteps]
) -> Float64:
    """Float64 [S, F], columns of unit spread about 0; those that never vary are left out."""
    starts = sessions.offsets[:-1][feedback.episode_of_step]
    step = np.arange(len(starts)) - starts
    sums = np.concatenate(([0.0], np.cumsum(feedback.rewards)))
    earned = sums[:-1] - sums[starts]
    just_now = np.where(step > 0, np.concatenate(([0.0], feedback.rewards[:-1])), 0.0)
    columns = [np.minimum(step, FIRST_STEPS)[:, None] == np.arange(1, FIRST_STEPS + 1)]
    columns += [earned[:, None], just_now[:, None], _context(sessions)]
    columns += [_user_features(sessions, targets)]
    features = np.concatenate(columns, axis=1).astype(np.float64)
    spread = features.std(axis=0)
    varying = spread > 1e-12
    return (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]


def _context(sessions: ShownSessions) -> Float64:
    """Float64 [S, C]: the first `MOST_CONTEXT` columns by name, 0 where one was not logged."""
    maps = [part.table["context"].combine_chunks() for part in sessions.parts]
    names = sorted({name for one in maps for name in one.keys.unique().to_pylist()})[:MOST_CONTEXT]
    found = np.zeros((int(sessions.offsets[-1]), len(names)))
    for places, one in zip(sessions.places, maps, strict=True):
        for column, name in enumerate(names):
            values = pc.fill_null(pc.map_lookup(one, pa.scalar(name), "first"), 0.0).to_numpy(zero_copy_only=False)
            found[places[places >= 0], column] = np.nan_to_num(values[places >= 0])
    return found


def _user_features(sessions: ShownSessions, targets: Sequence[ModelSteps | UniformSteps]) -> Float64:
    """Float64 [S, F] as the model sees them; F = 0 for uniform play."""
    steps = int(sessions.offsets[-1])
    width = max((t.requests.user_features.shape[1] for t in targets if isinstance(t, ModelSteps)), default=0)
    found = np.zeros((steps, width))
    for places, target in zip(sessions.places, targets, strict=True):
        if isinstance(target, ModelSteps):
            found[places[places >= 0]] = target.requests.user_features[places >= 0]
    return found
