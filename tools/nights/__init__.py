"""Simulated nights: the delivery in virtual time, beside a Kombo of our own."""
