"""What is decided before training: fingerprint, plan, training config, inference budget, memory."""
