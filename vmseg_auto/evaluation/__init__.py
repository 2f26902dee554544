"""Metrics, volumes and how well both can be relied on."""
