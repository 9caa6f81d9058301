"""RecSim's environments, restated for thousands of users at once."""
