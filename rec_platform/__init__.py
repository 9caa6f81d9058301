"""Reinforcement-learning recommenders, from interaction logs to a live service that learns for the long term."""

import sys

__version__ = "0.1.0"

if "gymnasium" in sys.modules:
    from rec_platform.simulation.gym_registration import register_environments

    register_environments()
