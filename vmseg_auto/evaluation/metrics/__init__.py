"""Metrics: an entry a column of metrics.csv, with its function; score.py asks them all."""
