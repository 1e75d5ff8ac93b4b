"""Throttle: when a request of one integration may leave. It neither sends nor waits."""
