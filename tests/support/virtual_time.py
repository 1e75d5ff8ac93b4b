"""Events in simulated time, one after the other: no test waits."""

import heapq
from itertools import count


class Events:
    """Calls of functions at times, in seconds; two of one time come in their order."""

    def __init__(self):
        self._order, self._events = count(), []

    def later(self, when, happen, *arguments):
        """Call a function at a time, with the time and the arguments."""
        heapq.heappush(self._events, (when, next(self._order), happen, arguments))

    def pass_until(self, seconds):
        """Let all happen that comes before a time."""
        while self._events and self._events[0][0] < seconds:
            now, _, happen, arguments = heapq.heappop(self._events)
            happen(now, *arguments)
