"""Signals of a run for others: metrics, log summary, asset events, lineage events."""
