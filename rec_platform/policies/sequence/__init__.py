"""Recommenders that predict the next item from the order of the last ones."""

from rec_platform.policies.sequence.settings import SequenceSettings

__all__ = ["SequenceSettings"]
