"""From a YAML file to a checked configuration, with errors that name the key and the nearest known one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rec_platform.errors import InputError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping at the top of a YAML file.

    Raises:
        InputError: no such file, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", "give the path of a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(str(path), "is not UTF-8 text", "give the path of a YAML file") from None
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise InputError(str(path), f"is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(str(path), "has no keys at its top", "write it as `key: value` lines")
    return content


def override(content: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """The mapping with ``section.key=value`` assignments applied; values are read as YAML.

    Raises:
        InputError: an assignment without ``=``, through something that is no section, or whose value is not YAML.
    """
    content = dict(content)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise InputError("--set", f"'{assignment}' is not section.key=value")
        at = content
        *path, last = key.strip().split(".")
        for name in path:
            below = at.get(name)
            if below is not None and not isinstance(below, dict):
                raise InputError("--set", f"'{name}' in '{key}' is a value, not a section")
            at[name] = dict(below or {})
            at = at[name]
        try:
            at[last] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise InputError("--set", f"'{value}' in '{assignment}' is not YAML: {error}") from None
    return content


def parse(model: type[Model], content: Any, where: str) -> Model:
    """``model`` from a mapping; the first thing that is wrong becomes an `InputError` with its dotted key.

    Args:
        where: dotted key of the mapping itself, "" at the top.
    """
    if not isinstance(content, dict):
        raise InputError(where or "the file", f"{content!r} is not a mapping", "write it as `key: value` lines")
    try:
        return model(**content)
    except ValidationError as error:
        first = error.errors()[0]
        fields, location = _located(model, [str(part) for part in first["loc"]])
        field = ".".join(([where] if where else []) + location)
        if first["type"] == "extra_forbidden":
            raise InputError(field, "is not a known key", did_you_mean(location[-1], fields)) from None
        if first["type"] == "union_tag_invalid":
            kind = first["ctx"]["tag"]
            known = [name.strip("' ") for name in first["ctx"]["expected_tags"].split(",")]
            raise InputError(f"{field}.kind", f"'{kind}' is unknown", did_you_mean(kind, known)) from None
        if first["type"] == "missing":
            raise InputError(field, "is missing", "add it") from None
        problem = first["msg"].removeprefix("Value error, ")
        raise InputError(field, f"{problem}, got {first.get('input')!r}") from None
    except TypeError as error:
        raise InputError(where or "the file", str(error)) from None


def _located(model: type[BaseModel], path: list[str]) -> tuple[list[str], list[str]]:
    """The field names of the model that holds the last part of ``path``, and the path as it stands in the file.

    Where a section may be one of several models, pydantic's path also names which one; that part is left out.
    """
    fields, kept = list(model.model_fields), []
    options: list[type[BaseModel]] = [model]
    for name in path:
        chosen = [option for option in options if _kind(option) == name] if len(options) > 1 else []
        if chosen:
            options = chosen
            fields = list(chosen[0].model_fields)
            continue
        kept.append(name)
        field = next((option.model_fields[name] for option in options if name in option.model_fields), None)
        fields = [known for option in options for known in option.model_fields]
        options = [] if field is None else _models_in(field.annotation)
    return fields, kept


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models of an annotation: itself, or the members of a union."""
    members = get_args(annotation) or (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]


def _kind(model: type[BaseModel]) -> str | None:
    """The tag of a model in a union, the default of its field ``kind``."""
    field = model.model_fields.get("kind")
    return None if field is None else str(field.default)


def choose(kinds: dict[str, type[Model]], content: Any, where: str) -> Model:
    """One of several models, told apart by the key ``kind``."""
    if not isinstance(content, dict) or "kind" not in content:
        raise InputError(f"{where}.kind", "is missing", "one of: " + ", ".join(kinds))
    kind = content["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{where}.kind", f"'{kind}' is unknown", did_you_mean(str(kind), kinds))
    return parse(kinds[kind], {name: value for name, value in content.items() if name != "kind"}, where)
