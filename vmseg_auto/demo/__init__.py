"""The phantom cohort, and the whole pipeline run on it."""
