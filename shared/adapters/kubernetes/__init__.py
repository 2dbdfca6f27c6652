"""Clusters: how they are got at, and what is in them. The kubernetes client is imported by the first call, not at the start."""
