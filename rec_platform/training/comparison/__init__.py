"""Recommenders of every kind on one log: each fitted or trained to the same earlier part, judged on the same users."""
