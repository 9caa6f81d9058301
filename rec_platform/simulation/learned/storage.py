"""A learned simulator as a folder: JSON and safetensors, no pickle.

simulator.json         config, names, choice, leave and return models
catalog.*              the items
members/NUMBER/        the response models
users.safetensors      histories and features of the users it simulates
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError
from rec_platform.simulation.learned.config import LearnedSimulatorConfig
from rec_platform.simulation.learned.simulator import LearnedSimulator
from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.returning import ReturnModel
from rec_platform.simulation.response.model import ResponseModel
from rec_platform.simulation.response.slate_choice import SlateChoice

FORMAT_VERSION = 2


def save(simulator: LearnedSimulator, folder: Path) -> None:
    """Write what simulating needs; exposures and channels of the log, which only fitting needs, stay out."""
    folder.mkdir(parents=True, exist_ok=True)
    log = simulator.log
    log.catalog.save(folder)
    for number, member in enumerate(simulator.members):
        member.save(folder / "members" / str(number))
    arrays = {
        "offsets": log.histories.offsets,
        "items": log.histories.items,
        "feedback": log.histories.feedback,
        "timestamps": log.histories.timestamps,
        "user_features": log.user_features,
    }
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "users.safetensors")
    content = {
        "format_version": FORMAT_VERSION,
        "config": simulator.config.model_dump(mode="json"),
        "members": len(simulator.members),
        "channels": list(simulator.channels),
        "slate_choice": simulator.slate_choice.model_dump(mode="json"),
        "fitted_leave": simulator.fitted_leave and simulator.fitted_leave.model_dump(mode="json"),
        "returning": simulator.returning.model_dump(mode="json"),
        "user_feature_names": list(simulator.spec.user_feature_names),
        "user_ids": list(log.histories.user_ids),
    }
    (folder / "simulator.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def load(folder: Path) -> LearnedSimulator:
    """Read what `save` wrote.

    Raises:
        InputError: a file is missing or not what it should be.
    """
    try:
        content = json.loads((folder / "simulator.json").read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            problem = f"format {content['format_version']}"
            raise InputError(str(folder), problem, f"this version reads format {FORMAT_VERSION}: fit anew")
        arrays: dict[str, Any] = load_file(folder / "users.safetensors")
        user_features = arrays.pop("user_features")
        log = UserLog(
            catalog=Catalog.load(folder),
            histories=Histories(user_ids=tuple(content["user_ids"]), **arrays),
            user_features=user_features,
            user_feature_names=tuple(content["user_feature_names"]),
        )
        leave = content["fitted_leave"]
        return LearnedSimulator(
            log=log,
            members=tuple(ResponseModel.load(folder / "members" / str(n)) for n in range(content["members"])),
            config=LearnedSimulatorConfig(**content["config"]),
            slate_choice=SlateChoice(**content["slate_choice"]),
            fitted_leave=None if leave is None else FittedLeave(**leave),
            returning=ReturnModel(**content["returning"]),
            channels=tuple(content["channels"]),
        )
    except InputError:
        raise
    except Exception as error:
        raise InputError(str(folder), f"no readable simulator: {error}") from error
