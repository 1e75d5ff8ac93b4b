"""Stand-in for Kombo: a small server on a real socket with the responses of Kombo's API.

The stand-in makes result links, enforces Kombo's limits, fails on command, and reports all calls.
Start: ``python -m tools.kombo_standin``, or ``tools.kombo_standin.client.running`` in Python.
Kombo's API is described at https://docs.kombo.dev.
"""
