"""A stand-in for Kombo: a small server on a real socket that answers like Kombo's API.

It makes result links, keeps Kombo's limits, fails on command, and tells afterwards what it did.
Start it with ``python -m tools.kombo_standin``, or from Python with
``tools.kombo_standin.client.running``.
What it imitates is described at https://docs.kombo.dev.
"""
