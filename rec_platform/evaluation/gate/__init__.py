"""The promotion gate: whether what is known of a candidate is enough to let it take over."""
