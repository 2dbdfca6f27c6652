"""`/v1/registry/snapshot`: the registry's part of what functions hold, for whoever delivers without judging.

The body is MessagePack `{revision, home, cluster, backbones}`, as in the snapshot of `/v1/config/snapshot`, which has all of it: an edge
takes that one alone, so that a message is judged and resolved at one revision.
"""

import msgspec
from fastapi import FastAPI

from shared.domain.snapshot import Snapshot
from shared.edge.proven import Proven
from shared.edge.snapshot_route import add_snapshot
from shared.resources import Resources

SUMMARY = "Internal: the backbones as they are in force, or were at a revision of the last 24 hours"

_encode = msgspec.msgpack.Encoder().encode


def add(app: FastAPI, resources: Resources) -> None:
    """Add the route to the app."""
    add_snapshot(app, resources, Proven(resources), "/v1/registry/snapshot", SUMMARY, _encoded)


def _encoded(snapshot: Snapshot) -> bytes:
    return _encode(
        {"revision": snapshot.revision, "home": snapshot.home, "cluster": snapshot.cluster, "backbones": snapshot.backbones},
    )
