"""What each other project could use as it is: errors, JSON, geometry, files, tables, locks, processes; no domain."""
