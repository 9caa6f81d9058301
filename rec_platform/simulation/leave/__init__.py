"""When simulated users leave, and when they come back."""
