"""Checks of installed packages and images: licences, vulnerabilities, digests."""
