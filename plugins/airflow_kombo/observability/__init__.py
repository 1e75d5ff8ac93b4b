"""What others see of a run: metrics, the log's summary, asset events, lineage events."""
