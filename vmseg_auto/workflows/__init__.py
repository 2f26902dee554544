"""The verbs of the commands: each puts the other packages together."""
