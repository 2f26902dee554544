"""Trainers: bags of parts for the training loop of vmseg_auto."""
