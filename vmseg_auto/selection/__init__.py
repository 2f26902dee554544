"""The choice of runs, thresholds and post-processing from validation cases."""
