"""The checks, one a module. Each has `find(day)`, which yields figures as they come."""
