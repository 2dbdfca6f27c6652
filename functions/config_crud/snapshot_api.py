"""`/v1/config/snapshot`: what functions hold, for stages and edges of this install.

The body is MessagePack of shared.domain.snapshot.Snapshot, the very bytes that a process keeps on disk.
"""

from fastapi import FastAPI

from shared.edge.proven import Proven
from shared.edge.snapshot_route import add_snapshot
from shared.resources import Resources
from shared.snapshots import encode

SUMMARY = "Internal: documents, principals, key hashes and backbones as they are in force, or were at a revision of the last 24 hours"


def add(app: FastAPI, resources: Resources, proven: Proven) -> None:
    """Add the route to the app."""
    add_snapshot(app, resources, proven, "/v1/config/snapshot", SUMMARY, encode)
