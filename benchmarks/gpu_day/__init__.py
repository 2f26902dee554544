"""All that a GPU has to show in nine minutes: each check in a process of its own, within its own time."""
