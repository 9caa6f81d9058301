"""Recommenders of items by counts, neighbours and factors: what any team would try first."""
