"""Recommenders of every kind side by side: their figures as data, a table, plots and a page."""
