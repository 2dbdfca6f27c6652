"""Helm releases in clusters: the provider `helm`."""
