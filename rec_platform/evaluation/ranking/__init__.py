"""How well policies predict what users took later: splits, lists, metrics, intervals."""
