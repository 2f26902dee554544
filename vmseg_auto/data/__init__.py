"""The user's data on disk: datasets, workspaces, cases and their names, preprocessed cases."""
