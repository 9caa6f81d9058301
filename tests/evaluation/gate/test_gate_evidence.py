"""Evidence from a log: the difference of two policies, groups, guardrails, simulated users."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.gate.decide import decide
from rec_platform.evaluation.gate.evidence import Evidence
from rec_platform.evaluation.gate.gather import gather, simulated
from rec_platform.evaluation.gate.settings import GateSettings
from rec_platform.evaluation.off_policy import SNIPS, BanditFeedback, DoublyRobust, Estimate
from rec_platform.evaluation.off_policy.difference import difference
from rec_platform.evaluation.off_policy.intervals import interval
from rec_platform.evaluation.off_policy.logs.decision_log import DecisionLog
from rec_platform.registry import ModelRegistry
from rec_platform.registry.manifest import BundleManifest

BETTER, WORSE = 2, 3
Shop = tuple[ModelRegistry, DecisionLog, Any]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "gate.py"
    spec = importlib.util.spec_from_file_location("gate_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_benchmark"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shop(bench: ModuleType, tmp_path: Path) -> Shop:
    """A champion with its log of 3,000 decisions; version 2 is clearly better, version 3 is worse."""
    rng = np.random.default_rng(5)
    world, better = bench.world_and_candidate("clearly better", rng)
    registry = ModelRegistry(tmp_path)
    for logits in (world.champion, better, 2 * world.champion - better):
        bench.register(registry, logits)
    registry.promote("shop", 1)
    return registry, DecisionLog(bench.log_of(world, 3000, rng), bench.NAMES, None, registry, {"path": "here"}), world


def asked(registry: ModelRegistry, log: DecisionLog, version: int, **settings: Any) -> Evidence:
    return gather(registry.get("shop", version), registry.get("shop", 1), log, GateSettings(**settings))


@pytest.mark.parametrize("estimator", ["ips", "snips", "rips", "rsnips"])
def test_the_log_tells_better_from_worse(shop: Shop, estimator: str) -> None:
    registry, log, _ = shop
    good, bad = (asked(registry, log, version, estimator=estimator) for version in (BETTER, WORSE))
    assert good.value is not None
    assert bad.value is not None
    assert good.value.lower > 0 > bad.value.upper
    assert good.value.champion == pytest.approx(np.mean(log.table["reward"].to_pylist()))
    assert good.log["path"] == "here"
    assert decide(good, GateSettings()).promote
    assert not decide(bad, GateSettings()).promote
    again = asked(registry, log, BETTER, estimator=estimator)
    assert again == good  # evidence is the same each time it is gathered


def test_groups_are_those_of_the_log(shop: Shop) -> None:
    registry, log, world = shop
    evidence = asked(registry, log, BETTER)
    assert sorted(evidence.segments) == ["placement=home", "placement=mail"]
    home, mail = evidence.segments["placement=home"], evidence.segments["placement=mail"]
    assert home is not None
    assert mail is not None
    assert home.decisions + mail.decisions == 3000
    logits = registry.get("shop", BETTER).load().policy.scorer.item_scores  # type: ignore[attr-defined]
    truth = world.values(np.asarray(logits, np.float64)) - world.values(world.champion)
    for compared, true in zip((home, mail), truth, strict=True):
        assert abs(compared.difference - true) < 2 * (compared.upper - compared.lower)
    with pytest.raises(InputError, match="no decision has a label 'country'"):
        gather(registry.get("shop", 2), registry.get("shop", 1), log, GateSettings(), labels=["country"])


def test_guardrails(shop: Shop) -> None:
    """Clicks are what is valued: more of them pass as a guardrail, and fail where fewer are better."""
    registry, log, _ = shop
    evidence = asked(registry, log, BETTER, guardrails={"click": 0.0, "-click": 0.0})
    up, down = evidence.guardrails["click"], evidence.guardrails["-click"]
    assert up is not None
    assert down is not None
    assert up.difference == pytest.approx(-down.difference)
    checks = {check.name: check.passed for check in decide(evidence, GateSettings()).checks}
    assert (checks["guardrail click"], checks["guardrail -click"]) == (True, False)
    with pytest.raises(InputError, match="the log has no channel 'refund'"):
        asked(registry, log, BETTER, guardrails={"refund": 0.0})


def test_propensities_that_cannot_be(shop: Shop) -> None:
    """Half the true propensities: the audit of 1/p sees it, and nothing is promoted."""
    registry, log, _ = shop
    halved = [[p / 2 for p in row] for row in log.table["propensities"].to_pylist()]
    table = log.table.set_column(log.table.column_names.index("propensities"), "propensities", pa.array(halved))
    evidence = asked(registry, DecisionLog(table, log.item_ids, None, registry, {}), BETTER)
    assert {"weights_do_not_average_one", "propensities_too_small"} <= set(evidence.warnings)
    assert not decide(evidence, GateSettings()).promote


def test_without_a_champion(shop: Shop) -> None:
    registry, log, _ = shop
    evidence = gather(registry.get("shop", 2), None, log, GateSettings())
    assert evidence.value is None
    assert evidence.effective_sample_size is not None
    assert decide(evidence, GateSettings()).promote
    assert decide(gather(registry.get("shop", 2), None, None, GateSettings()), GateSettings()).promote


def manifest(shop: Shop, mean: float, stderr: float = 0.1, **changes: Any) -> BundleManifest:
    bundle = shop[0].get("shop", 1).manifest
    experiment = {"simulator": {"kind": "x"}, "evaluation": {"users": 500, "seed": 1}, "data": {"dataset": "d"}}
    metrics = {"softmax": {"return": {"mean": mean, "stderr": stderr}, "users": 500}}
    return bundle.model_copy(update={"metrics": metrics, "experiment": experiment | changes})


def test_simulated_users(shop: Shop) -> None:
    found = simulated(manifest(shop, 5.0), manifest(shop, 4.0), 0.95)
    assert found is not None
    assert (found.difference, found.decisions) == (pytest.approx(1.0), 500)
    assert found.upper - found.lower == pytest.approx(2 * 1.959964 * 0.1 * 2**0.5, rel=1e-5)
    other = manifest(shop, 4.0, simulator={"kind": "y"})
    assert simulated(manifest(shop, 5.0), other, 0.95) is None
    assert simulated(shop[0].get("shop", 1).manifest, manifest(shop, 4.0), 0.95) is None


def test_few_of_the_worse_and_most_of_the_better_are_promoted(bench: ModuleType) -> None:
    """A small version of the benchmark: 12 promotions each."""
    settings = GateSettings()
    worse = [bench.promotion("worse", seed, 2000, settings).promote for seed in range(100, 112)]
    better = [bench.promotion("clearly better", seed, 8000, settings).promote for seed in range(100, 112)]
    assert sum(worse) <= 2
    assert sum(better) >= 8


def estimates(rows: int, seed: int = 0, groups: bool = False) -> tuple[Estimate, Estimate, BanditFeedback]:
    rng = np.random.default_rng(seed)
    behaviour, targets = np.full(4, 0.25), (np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1]))
    actions = rng.integers(4, size=rows)
    rewards = rng.random(rows) + actions
    found = [
        BanditFeedback(
            actions=actions, rewards=rewards, behaviour=behaviour[actions], target=target[actions],
            target_all=target, groups=np.arange(rows) // 2 if groups else None,
            q_hat=np.tile(np.arange(4.0), (rows, 1)),
        )
        for target in targets
    ]  # fmt: skip
    return SNIPS().estimate(found[0]), DoublyRobust().estimate(found[1]), found[0]


@pytest.mark.parametrize("groups", [False, True])
def test_a_difference_is_an_estimate(groups: bool) -> None:
    """Value, standard error and bootstrap are those of drawing rows and taking the difference anew."""
    first, second, _ = estimates(400, groups=groups)
    gap = difference(first, second)
    assert gap.value == pytest.approx(first.value - second.value)
    assert gap.terms.mean() == pytest.approx(gap.value)
    rng, drawn = np.random.default_rng(1), []
    units = first.units
    for _ in range(3000):
        picked = rng.integers(units, size=units)
        rows = (np.repeat(2 * picked, 2) + np.tile([0, 1], units)) if groups else picked
        top, bottom = first.numerators[rows].sum(), first.denominators[rows].sum()  # type: ignore[index]
        drawn.append(top / bottom - second.terms[rows].mean())
    assert gap.standard_error == pytest.approx(np.std(drawn), rel=0.06)
    found = interval(gap, "bootstrap", replications=3000)
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)


def test_a_policy_is_as_good_as_itself() -> None:
    first, _, feedback = estimates(60)
    gap = difference(first, SNIPS().estimate(feedback))
    found = interval(gap, "bootstrap_t")
    assert (gap.value, found.lower, found.upper) == (0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="is of other units"):
        difference(first, estimates(50)[1])
