"""Is the served decision the evaluated one?

    python benchmarks/parity.py [--observations 1000] [--env-steps 20000] [--users 300] [--items 120]

Generates a log, trains a small PPO and a small SlateQ on it, serves each through Ray Serve and HTTP, and holds a
conversation: known and new users, sessions, exclusions, candidate lists, clicks and dislikes in between. Every answer
is then held against the *PyTorch* network of the training checkpoint, on the observation that the decision log holds,
and every propensity is computed again from the log. Prints one JSON object:

``observations``, ``largest_score_difference`` (divided by the score where that is above 1),
``largest_propensity_difference`` (answer against network), ``largest_recomputed_difference`` (log against bundle),
``first_observations`` of known users and how many of them are ``as_in_training`` (the same history and user features
as the training side reads from the dataset), and the same by model under ``models``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import GeneratorConfig, generate
from rec_platform.data.histories import Histories
from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.policy import Scores
from rec_platform.registry import Bundle, ModelRegistry
from rec_platform.serving.decision_log import decisions_table, observation_of, recompute_propensities
from rec_platform.serving.import_dataset import import_dataset
from rec_platform.serving.store import EventStore
from rec_platform.training.build import build_network
from rec_platform.training.engine.checkpoint import load_checkpoint
from rec_platform.training.experiment import Experiment, read_experiment
from rec_platform.training.loop import kept_weights
from rec_platform.training.run import Run, run_experiment
from rec_platform.types import Observation

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
NAMES = ("quickstart_ppo", "quickstart_slateq")
NEW_USERS = 0.1
"""Share of requests for users that no log knows."""


class Client(Protocol):
    """`httpx.Client` and FastAPI's `TestClient`."""

    def post(self, url: str, *, json: Any) -> Any: ...


def main() -> None:
    """Run it with the numbers of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--env-steps", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--items", type=int, default=120)
    arguments = parser.parse_args()

    import httpx

    from rec_platform.serving.config import ServeConfig
    from rec_platform.serving.launch import local_ray, running_service
    from rec_platform.serving.settings import ServiceSettings

    share = -(-arguments.observations // len(NAMES))
    models = {}
    with tempfile.TemporaryDirectory() as folder, local_ray(num_cpus=4):
        home = Path(folder)
        dataset = small_dataset(home, users=arguments.users, items=arguments.items)
        for name in NAMES:
            run = train_and_promote(small_experiment(name, dataset, env_steps=arguments.env_steps), home)
            store = EventStore(f"sqlite:///{home / name}.db")
            import_dataset(store, dataset)
            settings = ServiceSettings(home=home, store=f"sqlite:///{home / name}.db", decision_log="durable")
            config = ServeConfig(model=name, port=0, settings=settings)
            with running_service(config) as url, httpx.Client(base_url=url, timeout=30) as client:
                answers = converse(client, dataset, share, seed=0)
            models[name] = differences(run, home, store, dataset, answers)
            store.close()
    print(json.dumps(summary(models)))


def small_dataset(home: Path, *, users: int, items: int) -> Dataset:
    """A generated log."""
    config = GeneratorConfig(num_users=users, num_items=items, seed=3)
    return generate(config, home / "datasets" / "small", truth_sessions=0)


def small_experiment(name: str, dataset: Dataset, *, env_steps: int, **changes: Any) -> Experiment:
    """A quickstart's experiment on ``dataset``, made short."""
    settings = {"data.dataset": dataset.folder, "stop.env_steps": env_steps, "evaluation.users": 50, **changes}
    return read_experiment(EXPERIMENTS / f"{name}.yaml", [f"{key}={value}" for key, value in settings.items()])


def train_and_promote(experiment: Experiment, home: Path) -> Run:
    """Train, register and make it champion."""
    run = run_experiment(experiment, home, compare=False)
    ModelRegistry(home).promote(experiment.name, run.version)
    return run


def converse(client: Client, dataset: Dataset, requests: int, *, seed: int) -> list[dict[str, Any]]:
    """Ask and react; each request beside its answer."""
    rng = np.random.default_rng(seed)
    users, items = dataset.users["user_id"].to_pylist(), dataset.items["item_id"].to_pylist()
    said = []
    for number in range(requests):
        known = rng.random() > NEW_USERS
        user = str(users[rng.integers(len(users))]) if known else f"new-{rng.integers(5)}"
        few = lambda most: [str(i) for i in rng.choice(items, size=rng.integers(most), replace=False)]  # noqa: E731
        request = {
            "user_id": user,
            "session_id": f"{user}-{rng.integers(3)}",
            "limit": int(rng.integers(1, 9)),
            "exclude_items": few(len(items) // 4) if rng.random() < 0.5 else [],
            "exclude_seen": [None, True, False][rng.integers(3)] if rng.random() < 0.5 else None,
            "candidates": [str(i) for i in rng.permutation(items)[: 2 * len(items) // 3]] if number % 4 == 3 else None,
            "explore": bool(rng.random() < 0.8),
        }
        answer = client.post("/v1/recommendations", json=request)
        if answer.status_code == 422 and "available candidates" in answer.text:
            continue  # all that is left was seen or excluded: refused, and nothing to compare
        answer.raise_for_status()
        said.append({"request": request, "answer": answer.json()})
        if rng.random() < 0.6:
            item = answer.json()["items"][rng.integers(len(answer.json()["items"]))]["item_id"]
            event = {
                "event_id": f"parity-{seed}-{number}", "type": "interaction", "user_id": user, "item_id": item,
                "session_id": request["session_id"], "recommendation_id": answer.json()["recommendation_id"],
                "action": "dislike" if rng.random() < 0.2 else "click",
            }  # fmt: skip
            client.post("/v1/events", json={"events": [event]}).raise_for_status()
    return said


def differences(
    run: Run, home: Path, store: EventStore, dataset: Dataset, answers: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The largest differences between what was answered and what the training side says."""
    name = run.experiment.name
    bundle = ModelRegistry(home).get(name).load()
    table = decisions_table(store)
    rows = {row["decision_id"]: row for row in table.to_pylist()}
    network = kept_network(run, home)
    scores, propensities = [0.0], [0.0]
    for said in answers:
        row, shown = rows[said["answer"]["recommendation_id"]], said["answer"]["items"]
        observation = observation_of(bundle, row)
        own = scores_of(network, observation)
        sampler = (run.trained.policy if said["request"]["explore"] else run.trained.greedy).sampler
        positions = positions_of(bundle, observation, [item["item_id"] for item in shown])
        expected, got = own.values[0, positions[0]], np.array([item["score"] for item in shown])
        scores.append(float((np.abs(got - expected) / np.maximum(1.0, np.abs(expected))).max()))
        again = sampler.propensity(own, observation, positions)[0]
        propensities.append(float(np.abs(again - [item["propensity"] for item in shown]).max()))
    return {
        "observations": len(answers),
        "largest_score_difference": max(scores),
        "largest_propensity_difference": max(propensities),
        "largest_recomputed_difference": recompute_propensities(bundle, table),
        **first_observations(bundle, dataset, table.to_pylist()),
    }


def kept_network(run: Run, home: Path) -> CandidateNetwork:
    """The PyTorch network that training kept, from its checkpoint."""
    experiment = run.experiment
    state = load_checkpoint(home / "runs" / experiment.name / "checkpoint")
    return build_network(experiment, run.world, kept_weights(state))


@torch.no_grad()
def scores_of(network: CandidateNetwork, observation: Observation) -> Scores:
    """What the PyTorch network says of the candidates of one observation, asked for just them."""
    names = ("user_features", "history", "history_feedback", "context")
    fields = {name: torch.from_numpy(np.ascontiguousarray(getattr(observation, name))) for name in names}
    items = torch.from_numpy(observation.candidates.clip(min=0)).long()
    parts = network.scores(fields, items, torch.from_numpy(observation.candidates >= 0))
    return Scores(**{name: part.numpy() for name, part in zip(network.outputs, parts, strict=True)})


def positions_of(bundle: Bundle, observation: Observation, item_ids: list[str]) -> np.ndarray:
    """Where these items stand among the candidates: int32 [1, k]."""
    where = {int(item): position for position, item in enumerate(observation.candidates[0]) if item >= 0}
    return np.array([[where[int(index)] for index in bundle.catalog.index_of(item_ids)]], np.int32)


def first_observations(bundle: Bundle, dataset: Dataset, rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many known users were first seen with exactly the history and features that training reads from the log."""
    histories = Histories.build(dataset, bundle.catalog)
    row_of = {user: number for number, user in enumerate(histories.user_ids)}
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["user_id"] in row_of:
            first.setdefault(row["user_id"], row)
    equal = 0
    for user, row in first.items():
        seen, number = observation_of(bundle, row), row_of[user]
        history, feedback = histories.window(
            np.array([number]), histories.counts[[number]], bundle.manifest.observation.history_length
        )
        features = dataset.user_features([user])
        equal += bool(
            np.array_equal(seen.history, history)
            and np.array_equal(seen.history_feedback, feedback)
            and np.array_equal(seen.user_features, features)
        )
    return {"first_observations": len(first), "as_in_training": equal}


def summary(models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Counts summed and differences at their largest, and each model's own."""
    total: dict[str, Any] = {}
    for key in next(iter(models.values())):
        values = [figures[key] for figures in models.values()]
        total[key] = float(np.max(values)) if key.startswith("largest") else sum(values)
    return {**total, "models": models}


if __name__ == "__main__":
    main()
