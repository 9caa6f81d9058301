"""A learner of columns: one call, many minibatches, one backward pass and one step of Adam each.

RLlib's own `update` spends about 18 ms of Python a call and 1 ms a minibatch on iterators, metrics and gradient
dictionaries, more than our networks need to learn. This one keeps the learner's outside (local or remote, CPU or GPU,
gradients averaged over learners by RLlib's data-parallel wrapper) and replaces the inside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from rec_platform.training.engine.columns import Columns, Rows
from rec_platform.training.engine.module import RecommenderModule

ERRORS = "errors"
"""Key under which a module or loss leaves an error a row, for prioritised replay."""


class ColumnarLearner(TorchLearner):
    """What all learners share; an algorithm adds `loss`.

    Attributes:
        progress: share of training done, in [0, 1]; schedules look at it.
        rng: of the order of minibatches.
        averaged: updates that the mean of the parameters is over; there is none before the first.
    """

    config: Any

    def build(self) -> None:
        super().build()
        torch.set_num_threads(1)
        self.settings: Any = self.config.settings
        self.progress = 0.0
        index = int(getattr(self, "_learner_index", None) or 0)
        self.rng = np.random.default_rng([self.config.seed or 0, index, 7])
        self.minibatches = 0
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.averaged = 0
        trained = self.recommender.network.named_parameters()
        self._means = {name: p.detach().clone() for name, p in trained if p.requires_grad}
        if self.settings.has_target:
            self.recommender.make_target()
            network, target = self.recommender.network, self.recommender.target
            pairs = list(zip(target.parameters(), network.parameters(), strict=True))
            self._slow = [slow for slow, p in pairs if p.requires_grad]
            self._followed = [p for _, p in pairs if p.requires_grad]
        module: Any = self.module[DEFAULT_MODULE_ID]
        wrapped = module is not self.recommender  # to average gradients over learners
        self._train_on = module.forward_train if wrapped else module.train_on

    @property
    def recommender(self) -> RecommenderModule:
        """The module itself, out of whatever RLlib wrapped it in."""
        module: Any = self.module[DEFAULT_MODULE_ID].unwrapped()
        return module

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        optimizer: Any = self.get_optimizer(DEFAULT_MODULE_ID)
        return optimizer

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        module: Any = self.module[module_id].unwrapped()
        groups = module.parameter_groups()
        rate = self.config.settings.learning_rate
        groups = [group | {"lr": rate * group["rate"]} for group in groups if group["params"]]
        optimizer = torch.optim.Adam(groups, lr=rate, fused=True)
        parameters = [p for group in groups for p in group["params"]]
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=rate)

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a minibatch, and figures to report.

        Args:
            out: what the module's `train_on` returned.
        """
        raise NotImplementedError

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """RLlib's name for it."""
        return self.loss(batch, fwd_out)[0]

    def after_step(self) -> None:
        """Called after every step of the optimiser: moves the slow copy, where there is one."""
        if self.settings.has_target:
            with torch.no_grad():
                torch._foreach_lerp_(self._slow, self._followed, self.settings.polyak)

    def update(  # type: ignore[override]  # columns only
        self,
        batch: Any = None,
        *,
        training_data: Any = None,
        timesteps: dict[str, Any] | None = None,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """Train on columns.

        Args:
            training_data: RLlib's envelope around a `MultiAgentBatch` of columns.
            timesteps: ``progress``.

        Returns:
            Means of the figures over all minibatches, ``cpu_seconds``, and where the loss leaves one an error a row.
        """
        began = time.thread_time()
        self.progress = float((timesteps or {}).get("progress", 0.0))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.progress) * group["rate"]
        columns = (training_data.batch if training_data is not None else batch)[DEFAULT_MODULE_ID]
        self.recommender.train()
        rows = {name: self._to_device(array) for name, array in columns.items()}
        figures: dict[str, list[Tensor]] = {}
        errors: list[Tensor] = []
        for part in self._parts(rows, num_epochs, minibatch_size, shuffle):
            told = self._minibatch(part)
            if ERRORS in told:
                errors.append(told.pop(ERRORS))
            for name, value in told.items():
                figures.setdefault(name, []).append(value)
        result: dict[str, Any] = {name: float(torch.stack(values).mean()) for name, values in figures.items()}
        if errors:
            result[ERRORS] = torch.cat(errors).cpu().numpy()
        if self.progress > 1.0 - self.settings.averaged_share:
            self._average()
        else:
            self.averaged = 0  # a finished run that is made longer is back before its last share
        result["cpu_seconds"] = time.thread_time() - began
        return result

    @torch.no_grad()
    def _average(self) -> None:
        """Move the means of the parameters to what they are over one more update."""
        self.averaged += 1
        now = [p for _, p in self.recommender.network.named_parameters() if p.requires_grad]
        torch._foreach_lerp_(list(self._means.values()), now, 1.0 / self.averaged)

    def _minibatch(self, batch: Rows) -> dict[str, Tensor]:
        loss, figures = self.loss(batch, self._train_on(batch))
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        self._clip_gradients()
        self.optimizer.step()
        self.minibatches += 1
        self.after_step()
        return {name: figure.detach() for name, figure in figures.items()}

    def _clip_gradients(self) -> None:
        """`torch.nn.utils.clip_grad_norm_`, without its sorting of the gradients by device at every step."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (self.settings.gradient_clip / (norm + 1e-6)).clamp(max=1.0))

    def _to_device(self, array: np.ndarray | Tensor) -> Tensor:
        if isinstance(array, np.ndarray):
            array = torch.from_numpy(array if array.flags.writeable else array.copy())
        return array.to(self._device, non_blocking=True)

    def _parts(self, rows: Rows, epochs: int, size: int | None, shuffle: bool) -> Iterator[Rows]:
        count = len(next(iter(rows.values())))
        size = min(size or count, count)
        for _ in range(epochs):
            if not shuffle:
                for start in range(0, count - size + 1, size):
                    yield {name: column[start : start + size] for name, column in rows.items()}
                continue
            order = torch.from_numpy(self.rng.permutation(count)).to(self._device)
            for start in range(0, count - size + 1, size):
                pick = order[start : start + size]
                yield {name: column.index_select(0, pick) for name, column in rows.items()}

    def trained_network(self) -> Columns:
        """The network to keep: as it is now, or its mean over the last updates (Polyak and Juditsky 1992)."""
        network = self.recommender.network.state_dict()
        return _arrays(network | self._means if self.averaged else network)

    def get_columnar_state(self) -> dict[str, Any]:
        """Network and its mean, slow copy, optimiser, order of minibatches: nested plain values and tensors."""
        module = self.recommender
        return {
            "network": _arrays(module.network.state_dict()),
            "target": _arrays(module.target.state_dict()) if self.settings.has_target else {},
            "means": _arrays(self._means) if self.averaged else {},
            "averaged": self.averaged,
            "optimizer": _to_cpu(self.optimizer.state_dict()),
            "rng": self.rng.bit_generator.state,
            "minibatches": self.minibatches,
        }

    def set_columnar_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_columnar_state` took.

        Raises:
            KeyError, RuntimeError: the state is of another network.
        """
        module = self.recommender
        module.network.load_state_dict(_tensors(state["network"]))
        if self.settings.has_target:
            module.target.load_state_dict(_tensors(state["target"]))
        self.averaged = int(state["averaged"])
        for name, mean in _tensors(state["means"]).items():
            self._means[name].copy_(mean)
        self.optimizer.load_state_dict(_tensors(state["optimizer"]))
        self.rng.bit_generator.state = state["rng"]
        self.minibatches = int(state["minibatches"])


def _arrays(tensors: dict[str, Tensor]) -> Columns:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def _to_cpu(node: Any) -> Any:
    if isinstance(node, Tensor):
        return node.detach().cpu().clone()
    if isinstance(node, dict):
        return {key: _to_cpu(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_to_cpu(value) for value in node]
    return node


def _tensors(node: Any) -> Any:
    if isinstance(node, np.ndarray):
        return torch.from_numpy(np.array(node))
    if isinstance(node, dict):
        return {key: _tensors(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_tensors(value) for value in node]
    return node


def as_columns(parts: list[Columns]) -> Columns:
    """Rows of several parts as one; parts without rows are left out."""
    filled = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]} if filled else {}
