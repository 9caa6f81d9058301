"""The users who made a generated log, to be asked what a policy is truly worth.

A policy trained from a generated log, or in a simulator fitted to one, is judged here without any model between: these
users choose, buy, tire and leave by the generator's own rules (`rec_platform.data.generator.sessions`).

    population   U users with tastes and thrift, N items, drawn from the seed (`generator.world.World`)
    observation  user features, and the last L clicks: those of the log, then those of the session
    context      share of the longest session behind the user; share of its slates of which something was clicked
    candidates   every item, -1 where it stands in the visible history unless ``repeats``
    choice       multinomial logit over true utilities, boredom included, and ``null_utility``
    responses    ``consume`` (the click) and ``purchase``
    reward       1 for a click and ``purchase_reward`` for a purchase
    start        a user drawn uniformly from the population, rested, with his history at the end of the log
    end          terminated where patience is used up, or after ``max_steps`` slates: that bound is the world's own,
                 and the context shows how near it is
    defaults     the generator's; L 50

With ``repeats`` a session is distributed as the generator's are, so that `generator.truth` holds here too. Without,
policies may show what learned simulators let them show, and are worth less: what users like best they have clicked
lately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.event_channels import CONSUME
from rec_platform.data.generator import GeneratorConfig, World
from rec_platform.data.logged_decisions import CONTEXT_NAMES
from rec_platform.errors import InputError
from rec_platform.simulation.marketplace.config import MarketplaceConfig
from rec_platform.simulation.marketplace.myopic import Recognition, immediate_value
from rec_platform.simulation.marketplace.population import Population
from rec_platform.simulation.marketplace.users import MarketplaceUsers
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.types import Float32, Observation


class Marketplace:
    """The population of a generated marketplace; a `Simulator`.

    Attributes:
        config: see `MarketplaceConfig`.
        world: the truth.
        population: what is known of it.
        spec: sizes and names.
        item_features: float32 [N, D] as the catalogue has them.
    """

    def __init__(
        self,
        config: MarketplaceConfig | None = None,
        *,
        world: World | None = None,
        population: Population | None = None,
    ) -> None:
        """The marketplace of ``config``, of whose users there is no log yet; `of_dataset` makes that of a log.

        Args:
            world, population: of this configuration, where they are there already.

        Raises:
            InputError: the catalogue is too small for a slate beside the visible history.
        """
        self.config = config = config or MarketplaceConfig()
        _check_catalogue_size(config)
        generator = config.generator()
        self.world = World.draw(generator) if world is None else replace(world, config=generator)
        self.population = population or Population.of_world(self.world, config.history_length)
        self.item_features: Float32 = self.catalog.features
        self.spec = SimulatorSpec(
            num_items=config.num_items,
            num_candidates=config.num_items,
            slate_size=config.slate_size,
            history_length=config.history_length,
            user_feature_names=self.population.user_feature_names,
            context_names=CONTEXT_NAMES,
            response_channels=(CONSUME, "purchase"),
            full_catalogue=True,
            max_steps=config.max_steps,
        )
        self._recognition = Recognition.of(self.population)

    @staticmethod
    def of_dataset(
        dataset: Dataset, *, history_length: int = 50, slate_size: int | None = None, repeats: bool = False
    ) -> Marketplace:
        """The users who made a generated dataset, with its catalogue, its user features and their histories.

        Args:
            history_length: L.
            slate_size: k; the log's where None.
            repeats: see `MarketplaceConfig`.

        Raises:
            InputError: the dataset is not the generator's, or its parameters are not readable.
        """
        source, where = dataset.manifest.source, str(dataset.folder)
        if source.name != "generator":
            fix = "only a generated dataset has known users: make one with the generator"
            raise InputError(where, f"was made from '{source.name}', not by the generator", fix)
        unknown = sorted(set(source.parameters) - {field.name for field in fields(GeneratorConfig)})
        given: dict[str, Any] = {k: v for k, v in source.parameters.items() if k in MarketplaceConfig.model_fields}
        missing = sorted({*MarketplaceConfig.model_fields} - {"history_length", "repeats"} - set(given))
        if unknown or missing:
            problem = f"the generator's parameters are not those of this version: {', '.join([*unknown, *missing])}"
            raise InputError(where, problem, "generate it again")
        given |= {"history_length": history_length, "repeats": repeats}
        if slate_size is not None:
            given["slate_size"] = slate_size
        config = MarketplaceConfig(**given)
        _check_catalogue_size(config)
        world = World.draw(config.generator())
        return Marketplace(config, world=world, population=Population.of_dataset(dataset, world, history_length))

    @property
    def catalog(self) -> Catalog:
        """The items."""
        return self.population.catalog

    @property
    def item_feature_names(self) -> tuple[str, ...]:
        """Of the columns of `item_features`."""
        return self.catalog.feature_names

    def users(self, count: int, *, seed: int, staggered: bool = False) -> MarketplaceUsers:
        """``count`` new users; see `Simulator.users`.

        With ``staggered`` a user has passed over so many slates already, any number below his patience alike.
        """
        return MarketplaceUsers(self, count, seed=seed, staggered=staggered)

    def immediate_value(self, observation: Observation) -> Float32:
        """True expected reward of each candidate shown alone, float32 [B, M], as far as the user can be recognised.

        See `myopic`; also comparable between rows.
        """
        return immediate_value(self.world, self._recognition, observation)

    def variants(self) -> Mapping[str, Marketplace]:
        """``null``: nobody is bored. Then what pleases most now also keeps users longest."""
        config = self.config.model_copy(update={"boredom": 0.0})
        return {"null": Marketplace(config, world=self.world, population=self.population)}


def _check_catalogue_size(config: MarketplaceConfig) -> None:
    hidden = 0 if config.repeats else config.history_length
    if config.slate_size + hidden > config.num_items:
        problem = f"{hidden} items of history and {config.slate_size} to show are more than {config.num_items}"
        fix = f"set history_length to at most {config.num_items - config.slate_size}"
        if config.num_items <= config.slate_size:
            fix = "set slate_size lower, or give a larger catalogue"
        raise InputError("simulator.history_length", problem, fix)
