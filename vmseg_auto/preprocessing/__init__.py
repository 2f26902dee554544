"""From a scan to the network's grid, and the dataset's fingerprint."""
