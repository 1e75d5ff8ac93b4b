"""Where rows come from, and how each becomes a request."""
