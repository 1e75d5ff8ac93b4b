"""Simulated nights: the shipped delivery in virtual time, compared with a Kombo of its own."""
