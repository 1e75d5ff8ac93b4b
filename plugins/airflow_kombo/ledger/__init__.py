"""The ledger: claims, outcomes, runs and unknown rows, in tables of this project."""
