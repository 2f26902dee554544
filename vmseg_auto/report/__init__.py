"""Report pages: values, templates, style, script and viewer."""
