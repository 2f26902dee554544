"""Timed comparisons with nnU-Net: run from the repository's root, not installed. See docs/performance.md."""
