"""Serve YAML files, read so that a misspelt key is an error.

Ray Serve ignores keys it does not know (ray#61439): ``num_replica: 4`` runs one replica and says nothing. Here every
key is held against the fields of Serve's own schema first.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from rec_platform.errors import InputError, did_you_mean


def read_serve_yaml(path: Path) -> dict[str, Any]:
    """The content of a file that ``serve deploy`` takes.

    Raises:
        InputError: no such file, not YAML, an unknown key (with the nearest known one), or a value Serve refuses.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", "see serve_configs/local.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(str(path), "is not a mapping of Serve options", "see serve_configs/local.yaml")
    check_keys(values, ServeDeploySchema, str(path))
    try:
        ServeDeploySchema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([str(path), *map(str, first["loc"])])
        raise InputError(where, first["msg"]) from None
    return values


def check_keys(values: Any, kind: type[BaseModel], where: str) -> None:
    """Refuse keys, at any depth, that ``kind`` and the models in it have no field for."""
    if not isinstance(values, dict):
        return
    known = {name for name in kind.model_fields} | {f.alias for f in kind.model_fields.values() if f.alias}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}.{key}", "is not an option of Ray Serve", did_you_mean(str(key), known))
        field = kind.model_fields.get(key)
        model = _model_in(field.annotation) if field else None
        if model is None:
            continue
        for number, part in enumerate(value if isinstance(value, list) else [value]):
            check_keys(part, model, f"{where}.{key}" + (f"[{number}]" if isinstance(value, list) else ""))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside ``Optional[…]``, ``Union[…]`` or ``List[…]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list):
        for part in get_args(annotation):
            if (model := _model_in(part)) is not None:
                return model
    return None
