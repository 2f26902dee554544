"""Image files: one reader class a format."""
