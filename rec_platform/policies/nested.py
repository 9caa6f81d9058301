"""Recommenders that are made of others: how those are written inside them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from rec_platform.errors import InputError
from rec_platform.policies.fitting import FittedSettings


def settings_of(content: dict[str, Any]) -> FittedSettings:
    """The settings of an `algorithm:` section; those that learn from what they show stand alone.

    Raises:
        InputError: an unknown kind or key, or a value out of range.
    """
    from rec_platform.config import choose
    from rec_platform.policies.fitted import FITTED  # what is made of others is one of them

    return choose({kind: one for kind, one in FITTED.items() if not one.online}, content, "algorithm")


def _known(content: dict[str, Any]) -> dict[str, Any]:
    try:
        settings_of(content)
    except InputError as error:
        raise ValueError(str(error)) from None
    return content


Algorithm = Annotated[dict[str, Any], AfterValidator(_known)]
"""As an experiment's `algorithm:` section; checked as soon as it is read."""
