"""Tools for this repository alone: the demo, the bench and the stand-in for Kombo."""
