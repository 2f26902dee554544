"""Sliding windows, ensembles, test-time augmentation, uncertainty."""
