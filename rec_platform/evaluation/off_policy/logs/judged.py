"""A log beside the target that was named: item by item, slate by slate or session by session.

What estimators can do depends on both: on which propensities the log has, and on what can be known of the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import by_name
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import EstimateWarning
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.evaluation.off_policy.logs.reproduction import reproduce
from rec_platform.evaluation.off_policy.logs.session_features import session_features
from rec_platform.evaluation.off_policy.logs.shown_items import ShownItems
from rec_platform.evaluation.off_policy.logs.shown_sessions import ShownSessions
from rec_platform.evaluation.off_policy.logs.shown_slates import ShownSlates, whole_slates
from rec_platform.evaluation.off_policy.logs.target_steps import ModelSteps, UniformSteps
from rec_platform.evaluation.off_policy.logs.target_table import read_target, uniform
from rec_platform.evaluation.off_policy.slate.pairs import uniform_pairs
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.policies.samplers import SLOT_AFTER_SLOT
from rec_platform.registry.registry import parse_reference
from rec_platform.types import Float64

UNIFORM = "uniform"
FOLDS = 3
"""Of cross-fitted models: so many users are needed."""

MOST_CANDIDATES = 50
WIDEST_PAIRS = 1_000
MOST_INDICATORS = 1 << 26
"""Of the pseudo-inverse: candidates, k times candidates, and that times slates."""

Unit = Literal["item", "slate", "session"]


@dataclass(frozen=True)
class Judged:
    """Attributes:
    feedback: what estimators take.
    weights: importance weights float64 [n] of items, slates or sessions.
    unit: what the reward is of.
    logged: the log's own mean reward.
    left_out: decisions by why they are not judged.
    warnings: of the log, whatever the estimator.
    steps: what the target would have done slot by slot.
    lacking: estimators that cannot be done here, with the reason and what can.
    """

    feedback: BanditFeedback | SlateFeedback | EpisodeFeedback
    weights: Float64
    unit: Unit
    logged: float
    left_out: Mapping[str, int]
    warnings: tuple[EstimateWarning, ...] = ()
    steps: ModelSteps | UniformSteps | None = None
    lacking: by_name.Lacking = field(default_factory=dict)

    @property
    def chances(self) -> tuple[Float64, Float64] | None:
        """Of what was shown: the log's propensity and the target's, float64 [n] each; None where slots have none."""
        known = self.feedback
        if not isinstance(known, SlateFeedback):
            return known.behaviour, known.target
        for pair in (
            (known.behaviour_steps, known.target_steps),
            (known.behaviour_marginals, known.target_marginals),
        ):
            if pair[0] is not None and pair[1] is not None:
                return pair[0].ravel(), pair[1].ravel()
        return None


def judge(
    log: DecisionLog,
    target: str = UNIFORM,
    *,
    reward: str | None = None,
    unit: Unit | None = None,
    groups: Literal["user", "decision"] = "user",
    gamma: float = 1.0,
    greedy: bool = False,
    names: Sequence[str] = (),
) -> Judged:
    """The log beside a target.

    Args:
        target: ``uniform``, a model's NAME[@ALIAS or VERSION], or a CSV (see `read_target`).
        reward: a channel (see `ShownItems.read`).
        unit: None takes slates where the log's propensities are steps, or the target is a model, else items.
        groups: what hangs together item by item; slates and sessions of a user always do.
        gamma: discount of a session's later steps.
        greedy: the model as it is served without exploration.
        names: of the estimators that will be asked; those that need much are prepared only then.

    Raises:
        InputError: a target that is none, or a log that does not tell what it would have done.
    """
    table = Path(target).suffix == ".csv"
    if table and not Path(target).is_file():
        raise InputError("--target", f"there is no file {target}", "give a CSV of item_id, position, probability")
    if unit is None:
        unit = "item" if table or (target == UNIFORM and not whole_slates(log)) else "slate"
    if unit == "session":
        if table:
            problem = "a table says nothing of whole slates, of which sessions are made"
            raise InputError("--target", problem, "give a model or uniform, or evaluate item by item: --unit item")
        return _of_sessions(ShownSessions.read(log, reward), log, target, gamma=gamma, greedy=greedy, names=names)
    if unit == "slate":
        return _of_slates(ShownSlates.read(log, reward), log, target, greedy=greedy)
    if not table and target != UNIFORM:
        problem = "a model's slates are not judged item by item"
        raise InputError("--unit", problem, "leave it out; or make a table of its probabilities in each position")
    return _of_items(ShownItems.read(log, reward, groups=groups), target)


def _of_items(shown: ShownItems, target: str) -> Judged:
    positions = int(shown.positions.max(initial=0)) + 1
    if target == UNIFORM:
        probabilities = uniform(len(shown.item_ids), positions)
    else:
        probabilities = read_target(Path(target), shown.item_ids, positions)
    items = shown.feedback(probabilities)
    return Judged(items, items.weights, "item", float(shown.rewards.mean()), shown.left_out)


def _of_slates(slates: ShownSlates, log: DecisionLog, target: str, *, greedy: bool) -> Judged:
    slots, size = slates.items.shape[1], len(log.item_ids)
    steps: ModelSteps | UniformSteps | None = None
    known, marginals, of_all = None, None, None
    if Path(target).suffix == ".csv":
        of_all = read_target(Path(target), log.item_ids, slots)
        marginals = of_all[range(slots), slates.items]
        known = marginals if slots == 1 else None
    elif target == UNIFORM:
        steps = UniformSteps(slates)
        known, marginals = slates.uniform(), slates.uniform_marginals()
        of_all = uniform(size, slots)
    else:
        steps = _model(slates, log, target, greedy=greedy)
        found = steps.propensities()
        known, marginals = (None, found) if _marginal(steps) and slots > 1 else (found, None)
    whole = slates.feedback(known, marginals=marginals)
    if of_all is not None and _pairs_fit(slates, size):
        whole = replace(whole, target_slots=of_all, behaviour_pairs=uniform_pairs(size, slots))
    weighed = known is not None and whole.behaviour_steps is not None
    return Judged(
        feedback=whole,
        weights=whole.joint_weights if weighed else _mean_weights(whole, target),
        unit="slate",
        logged=float(slates.rewards.sum(axis=1).mean()),
        left_out=slates.left_out,
        warnings=(*slates.warnings, *reproduce(log).warnings),
        steps=steps,
        lacking=_lacking_of_slates(slates, whole, steps, target),
    )


def _mean_weights(whole: SlateFeedback, target: str) -> Float64:
    """Float64 [n]: over the slots of slates whose marginals alone are known."""
    if whole.behaviour_marginals is None or whole.target_marginals is None:
        problem = f"the log has steps of slates, and of {target} only marginals of slots are known"
        raise InputError("--target", problem, "both are needed of one kind: give a model whose propensities are steps")
    return whole.marginal_weights.mean(axis=1)


def _lacking_of_slates(
    slates: ShownSlates, whole: SlateFeedback, steps: ModelSteps | UniformSteps | None, target: str
) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    if not _fills_slots(steps):
        problem = f"{target} does not tell the probability of everything it could have shown in a slot"
        found |= _each(by_name.WITH_CASCADE, problem, "use rips or rsnips")
    if len(set(slates.groups.tolist())) < FOLDS:
        problem = f"its model is fitted on other users, and the log has fewer than {FOLDS}"
        found |= _each(by_name.WITH_CASCADE, problem, "use rips or rsnips")
    if whole.behaviour_steps is None or whole.target_steps is None:
        whose = "the log has" if whole.behaviour_steps is None else f"of {target} are known only"
        found |= _each(
            by_name.WITH_STEPS, f"{whose} marginals of slots, not steps", "use independent_ips or independent_snips"
        )
    if not _pairs_fit(slates, len(slates.log.item_ids)) or whole.target_slots is None:
        problem = (
            f"it is done where slates were drawn uniformly from the whole of at most {MOST_CANDIDATES} items, for "
            "targets whose marginals of all of them are known: uniform, or a table"
        )
        found |= _each(by_name.WITH_PAIRS, problem, "use rips or rsnips")
    if whole.behaviour_marginals is None or whole.target_marginals is None:
        whose = "the log" if whole.behaviour_marginals is None else target
        problem = f"of {whose} only steps are known, not how likely an item is in a slot whatever stands before it"
        found |= _each(by_name.WITH_MARGINALS, problem, "use rips or rsnips, which take steps")
    return found


def _pairs_fit(slates: ShownSlates, size: int) -> bool:
    n, k = slates.items.shape
    small = size <= MOST_CANDIDATES and k * size <= WIDEST_PAIRS and n * k * size <= MOST_INDICATORS
    return small and slates.uniformly_drawn and bool((slates.available == size).all())


def _of_sessions(
    sessions: ShownSessions, log: DecisionLog, target: str, *, gamma: float, greedy: bool, names: Sequence[str]
) -> Judged:
    targets: list[ModelSteps | UniformSteps]
    if target == UNIFORM:
        targets = [UniformSteps(part) for part in sessions.parts]
    else:
        targets = [_model(part, log, target, greedy=greedy) for part in sessions.parts]
    episodes = sessions.feedback(sessions.gathered(one.propensities().prod(axis=1) for one in targets), gamma)
    lacking: dict[str, tuple[str, str]] = {}
    instead = "use per_decision_snis or trajectory_snis"
    if not sessions.single:
        problem = "it needs the target's probability of everything it could have shown; slates of several are too many"
        lacking |= _each(by_name.WITH_Q, problem, instead)
    elif not all(_fills_slots(one) for one in targets):
        problem = f"{target} does not tell the probability of everything it could have shown"
        lacking |= _each(by_name.WITH_Q, problem, instead)
    elif len(set(sessions.groups.tolist())) < FOLDS:
        problem = f"its model is fitted on other users, and the log has fewer than {FOLDS}"
        lacking |= _each(by_name.WITH_Q, problem, instead)
    if not lacking and by_name.WITH_Q & set(names):
        features = session_features(sessions, episodes, targets)
        all_items = sessions.target_tables(targets)
        episodes = replace(episodes, features=features, actions=sessions.actions(), target_all=all_items)
    return Judged(
        feedback=episodes,
        weights=episodes.prefix_weights[:, -1],
        unit="session",
        logged=float(episodes.discounted_rewards.sum(axis=1).mean()),
        left_out=sessions.left_out,
        warnings=reproduce(log).warnings,
        lacking=lacking,
    )


def _model(slates: ShownSlates, log: DecisionLog, target: str, *, greedy: bool) -> ModelSteps:
    bundle = log.registry.get(*parse_reference(target)).load()
    return ModelSteps.of(slates, bundle, bundle.greedy_policy if greedy else bundle.policy)


def _marginal(steps: ModelSteps) -> bool:
    return steps.policy.sampler.propensity_kind == "slot_marginal"


def _fills_slots(steps: ModelSteps | UniformSteps | None) -> bool:
    if isinstance(steps, ModelSteps):
        return isinstance(steps.policy.sampler, SLOT_AFTER_SLOT)
    return steps is not None


def _each(names: Iterable[str], problem: str, fix: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(names, (problem, fix))
