"""The composed verbs: what the commands, the demo and the Python API call."""
