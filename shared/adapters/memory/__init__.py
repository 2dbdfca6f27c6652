"""Adapters in memory: for unit tests only."""
