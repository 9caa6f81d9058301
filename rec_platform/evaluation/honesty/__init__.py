"""Can a simulator teach a recommender anything, and where does it lie? Seven checks and their sum."""

from rec_platform.evaluation.honesty.examine import PLACES, Honesty, examine

__all__ = ["PLACES", "Honesty", "examine"]
