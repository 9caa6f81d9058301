"""Which items a simulated user could be shown: the whole catalogue, or a few from several sources each step."""
