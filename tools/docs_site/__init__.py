"""Site of the docs: the Markdown pages, and the API reference, built by Sphinx."""
