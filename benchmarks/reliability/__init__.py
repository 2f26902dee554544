"""What harms files, processes and memory, done on purpose. Each module is one command; docs/reliability.md has the results."""
