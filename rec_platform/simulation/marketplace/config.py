"""What a marketplace of true users is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rec_platform.data.generator import GeneratorConfig


class MarketplaceConfig(BaseModel):
    """The section ``simulator:`` of an experiment with ``kind: marketplace``.

    All but the last two are the generator's (`GeneratorConfig`), with its defaults.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    num_users: int = Field(default=2000, ge=2)
    """Users of the population."""
    num_items: int = Field(default=500, ge=1)
    """N."""
    slate_size: int = Field(default=5, ge=1)
    """k."""
    seed: int = Field(default=0, ge=0)
    """Of the world: the generator's."""
    null_utility: float = 2.0
    """Utility of taking nothing."""
    boredom: float = Field(default=0.7, ge=0)
    """Utility lost for each recent consumption in the same category."""
    fatigue_decay: float = Field(default=0.8, ge=0, lt=1)
    """What is left of a recent consumption after one more slate."""
    patience: float = Field(default=8.0, ge=1)
    """Slates a user looks at before leaving, where none pleases."""
    purchase_reward: float = 1.0
    """Reward of a purchase; a click has 1."""
    max_steps: int = Field(default=40, ge=1)
    """No session is longer than this many slates."""
    history_length: int = Field(default=50, ge=1)
    """L, the visible history."""
    repeats: bool = False
    """Whether items of the visible history may be shown again, as the generator's own policies do."""

    def generator(self) -> GeneratorConfig:
        """The same world as the generator names it.

        Raises:
            InputError: the generator refuses it.
        """
        return GeneratorConfig(**self.model_dump(exclude={"history_length", "repeats"}))
