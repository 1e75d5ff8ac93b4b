"""Simulated nights: the delivery in virtual time, beside a Kombo that knows what it made."""
