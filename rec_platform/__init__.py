"""Reinforcement-learning recommenders, from interaction logs to a live service that learns for the long term."""

__version__ = "0.1.0"
