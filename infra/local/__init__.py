"""Embedded servers and the supervisor behind `switchboard up`."""
