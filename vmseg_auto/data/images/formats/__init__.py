"""One reader class a format; a module here is found by registry.py."""
