"""The sections `algorithm:`, `resources:` and `stop:`; no RLlib is needed to read them."""

from __future__ import annotations

from rec_platform.training.settings.base import AlgorithmSettings
from rec_platform.training.settings.on_policy import PPOSettings
from rec_platform.training.settings.value_based import SlateQSettings

ALGORITHMS: dict[str, type[AlgorithmSettings]] = {settings.kind: settings for settings in (PPOSettings, SlateQSettings)}
