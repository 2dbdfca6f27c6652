"""Tests of parts on real servers."""
