"""Sources of rows, and the mapping of rows to requests."""
