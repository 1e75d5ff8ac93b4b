"""Kombo's API on the wire: requests, responses, verdicts and the client."""
