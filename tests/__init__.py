"""The tests. Everything but tests/unit runs on real servers (tests/conftest.py)."""
