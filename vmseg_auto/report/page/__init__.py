"""Templates, style sheet, script and 3-D viewer of the report."""
