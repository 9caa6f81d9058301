"""The marketplace: its users' tastes and its items, drawn once from a seed."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.types import Float64

CATEGORIES = ("books", "electronics", "fashion", "food", "games", "home", "music", "sports")
CITIES = ("Amsterdam", "Berlin", "Lisbon", "Madrid", "Oslo", "Paris", "Rome", "Vienna")
GENDERS = ("F", "M")
_MEAN_LOG_PRICE = (2.5, 4.8, 3.6, 2.2, 3.5, 3.9, 2.6, 3.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorConfig:
    """Everything the generated log depends on.

    Attributes:
        num_users: users of the population.
        num_items: items of the catalogue.
        sessions_per_user: mean sessions of a user; each has at least one.
        slate_size: items shown at once.
        days: length of the log.
        seed: of every draw.
        temperature: of the logging policy; higher is closer to uniformly random.
        null_utility: utility of taking nothing: higher means fewer clicks.
        boredom: utility lost for each recent consumption in the same category.
        fatigue_decay: what is left of a recent consumption after one more slate.
        patience: slates a user looks at before leaving, where none pleases.
        purchase_reward: reward of a purchase; a click has 1.
        max_steps: no session is longer than this many slates.
    """

    num_users: int = 2000
    num_items: int = 500
    sessions_per_user: float = 6.0
    slate_size: int = 5
    days: int = 120
    seed: int = 0
    temperature: float = 1.0
    null_utility: float = 2.0
    boredom: float = 0.7
    fatigue_decay: float = 0.8
    patience: float = 8.0
    purchase_reward: float = 1.0
    max_steps: int = 40

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "num_users": 2, "num_items": 1, "slate_size": 1, "days": 1, "seed": 0, "sessions_per_user": 1.0,
            "boredom": 0.0, "fatigue_decay": 0.0, "patience": 1.0, "max_steps": 1,
        }  # fmt: skip
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value) or value < least.get(field.name, -np.inf):
                fix = f"give at least {least[field.name]:g}" if field.name in least else "give a finite number"
                raise InputError(f"generator.{field.name}", f"{value}", fix)
        if self.temperature <= 0:
            raise InputError("generator.temperature", f"{self.temperature}", "give a number above 0")
        if self.fatigue_decay >= 1:
            raise InputError("generator.fatigue_decay", f"{self.fatigue_decay}", "give a number below 1")
        if self.slate_size > self.num_items:
            problem = f"{self.slate_size} slots but only {self.num_items} items"
            raise InputError("generator.slate_size", problem, "give a smaller slate or more items")


@dataclass(frozen=True)
class World:
    """The truth. U users, N items, C categories.

    Attributes:
        category: int64 [N]; every item has one.
        price: [N]. quality: [N] standard normal, partly visible as `rating` [N] (1 to 5).
        taste: [U, C] liking of a category. thrift: [U] dislike of a high price.
        age: [U] years. gender, city: int64 [U], which taste partly follows.
        shown_taste, shown_quality: [U, C], [N] what the logging policy believes: truth and noise.
    """

    config: GeneratorConfig
    category: NDArray[np.int64]
    price: Float64
    quality: Float64
    rating: Float64
    taste: Float64
    thrift: Float64
    age: NDArray[np.int64]
    gender: NDArray[np.int64]
    city: NDArray[np.int64]
    shown_taste: Float64
    shown_quality: Float64

    @staticmethod
    def draw(config: GeneratorConfig) -> World:
        """The world of ``config.seed``."""
        rng = np.random.default_rng([config.seed, 0])
        users, items, kinds = config.num_users, config.num_items, len(CATEGORIES)
        category = rng.integers(kinds, size=items)
        quality = rng.normal(size=items)
        log_price: Float64 = np.asarray(_MEAN_LOG_PRICE, dtype=np.float64)[category] + 0.5 * rng.normal(size=items)
        age = np.clip(np.round(rng.normal(38, 14, size=users)), 16, 85).astype(np.int64)
        gender, city = rng.integers(len(GENDERS), size=users), rng.integers(len(CITIES), size=users)
        by_gender, by_city = rng.normal(size=(len(GENDERS), kinds)), rng.normal(size=(len(CITIES), kinds))
        by_age = rng.normal(size=kinds)
        taste = 0.6 * by_gender[gender] + 0.3 * by_city[city] + 0.6 * (age[:, None] - 38) / 14 * by_age
        taste += rng.normal(size=(users, kinds))
        return World(
            config=config,
            category=category,
            price=np.asarray(np.round(np.exp(log_price), 2), dtype=np.float64),
            quality=quality,
            rating=np.clip(np.round(3.3 + 0.7 * quality + 0.4 * rng.normal(size=items), 1), 1.0, 5.0),
            taste=taste,
            thrift=np.abs(0.3 * rng.normal(size=users)),
            age=age,
            gender=gender,
            city=city,
            shown_taste=0.5 * taste + 0.5 * rng.normal(size=taste.shape),
            shown_quality=0.5 * quality + 0.5 * rng.normal(size=items),
        )

    def affinity(self, users: NDArray, items: NDArray | None = None) -> Float64:
        """True utility to rested users: taste + quality − thrift · scaled log price.

        Args:
            users: int [B].
            items: int [B, k], some items of each user; every item, [B, N], where None.
        """
        expensive = (np.log(self.price) - 3.4) / 1.0
        if items is None:
            return self.taste[users][:, self.category] + 0.5 * self.quality - self.thrift[users][:, None] * expensive
        rows = np.asarray(users)[:, None]
        return self.taste[rows, self.category[items]] + 0.5 * self.quality[items] - self.thrift[rows] * expensive[items]
