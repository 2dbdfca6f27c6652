"""Tests of the live feed on a real Redis."""
