"""How users respond to an item: the model, its fit to a log, and how good it is."""
