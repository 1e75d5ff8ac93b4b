"""Throttle: permit the next request of an integration now, or name the pause."""
