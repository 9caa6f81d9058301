"""Recommenders that are fitted to a log without simulated users, by name."""

from __future__ import annotations

from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.blend import BlendSettings
from rec_platform.policies.classical.als import ALSSettings
from rec_platform.policies.classical.association import AssociationSettings
from rec_platform.policies.classical.content import ContentSettings
from rec_platform.policies.classical.ease import EASESettings
from rec_platform.policies.classical.item_knn import ItemKNNSettings
from rec_platform.policies.classical.markov import MarkovSettings
from rec_platform.policies.classical.popularity import PopularitySettings
from rec_platform.policies.classical.user_knn import UserKNNSettings
from rec_platform.policies.diverse import DiverseSettings
from rec_platform.policies.fitting import FittedSettings
from rec_platform.policies.sequence import SequenceSettings
from rec_platform.policies.tabular import TABULAR

KINDS: tuple[type[FittedSettings], ...] = (
    PopularitySettings,
    MarkovSettings,
    ItemKNNSettings,
    UserKNNSettings,
    ALSSettings,
    EASESettings,
    ContentSettings,
    AssociationSettings,
    SequenceSettings,
    BlendSettings,
    DiverseSettings,
)

FITTED: dict[str, type[FittedSettings]] = {settings.kind: settings for settings in KINDS} | BANDITS | TABULAR
