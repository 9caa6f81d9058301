"""A/B tests: which arm is better, how sure that is, and whether one may look before the end."""
