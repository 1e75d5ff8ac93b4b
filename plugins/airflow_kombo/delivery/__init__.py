"""One run: senders, throttles, retries, the writing of outcomes, and the run's liveness."""
