"""Files of the start page."""
