"""Samples, losses, the optimiser step and the training loop."""
