"""The start page: the whole way from an export to reports, in a browser instead of a terminal."""
