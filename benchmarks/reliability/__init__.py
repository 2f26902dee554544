"""What harms files, processes and memory, done on purpose. Results: docs/reliability.md."""
