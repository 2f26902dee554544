"""Scripts that run inside a measured process."""
