"""Throttle: when a request of one integration may leave. It sends nothing and waits for nothing."""
