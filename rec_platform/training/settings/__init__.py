"""The sections `algorithm:`, `resources:` and `stop:`; no RLlib is needed to read them."""

from __future__ import annotations

from rec_platform.training.settings.base import AlgorithmSettings
from rec_platform.training.settings.continuous import LIRDSettings, SACSettings, TD3Settings
from rec_platform.training.settings.offline import (
    BCQSettings,
    BCSettings,
    CQLSettings,
    IQLSettings,
    MARWILSettings,
    OfflineSettings,
)
from rec_platform.training.settings.on_policy import APPOSettings, PPOSettings, ReinforceSettings
from rec_platform.training.settings.value_based import DQNSettings, SlateQSettings

ONLINE: tuple[type[AlgorithmSettings], ...] = (
    PPOSettings,
    APPOSettings,
    ReinforceSettings,
    SlateQSettings,
    DQNSettings,
    SACSettings,
    TD3Settings,
    LIRDSettings,
)
OFFLINE: tuple[type[OfflineSettings], ...] = (BCSettings, MARWILSettings, IQLSettings, CQLSettings, BCQSettings)
ALGORITHMS: dict[str, type[AlgorithmSettings]] = {settings.kind: settings for settings in (*ONLINE, *OFFLINE)}
