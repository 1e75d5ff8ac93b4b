"""The run: one sender per integration, throttles, retries, and the writing of outcomes."""
