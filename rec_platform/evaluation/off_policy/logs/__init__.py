"""From a dataset's decisions, and what a target would have done there, to what estimators take."""
