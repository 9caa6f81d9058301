"""The generator's marketplace, live: the true users behind a generated log."""

from rec_platform.simulation.marketplace.config import MarketplaceConfig
from rec_platform.simulation.marketplace.simulator import Marketplace

__all__ = ["Marketplace", "MarketplaceConfig"]
