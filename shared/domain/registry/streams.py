"""The streams that a backbone is to have: one an org for what is published there, one more for what comes from its hubs."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.domain.names import global_stream
from shared.domain.registry.deploying import Hub
from shared.domain.registry.shapes import Backbone, Spec
from shared.domain.retention import Retention

MAX_AGE_S = 7 * 24 * 3600
MAX_BYTES = 256 * 1024 * 1024  # of a stream: the server reserves it
DUPLICATE_WINDOW_S = 180  # longer than the log's recent window of 120 s
SHARES = 8  # a stream has at most this part of a small server's room
UNITS = {"Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}


class Source(NamedTuple):
    """Another backbone's stream that one is filled from: `domain` is that backbone's; subjects `sb.<org>.` become `sbg.<org>.`."""

    domain: str
    org: str


class WantedStream(NamedTuple):
    """A stream as config says it. Without subjects of its own it is filled from `sources`."""

    name: str
    subjects: tuple[str, ...]
    storage: str
    replicas: int
    max_age_s: int
    max_bytes: int
    sources: tuple[Source, ...] = ()


def streams_of(backbone: Backbone, hubs: Iterable[Hub], orgs: Iterable[str], retention: Retention) -> Iterator[WantedStream]:
    """Every stream it is to have. A shared one has those of all orgs."""
    joined = [hub for hub in hubs if hub.urls]
    size, storage = stream_bytes(backbone.spec), backbone.spec.jetstream.storage
    replicas = min(3, backbone.spec.replicas)  # a majority of five is three all the same, and two more copies cost as much again
    for org in [backbone.org] if backbone.org else orgs:
        if org.startswith(("submit-", "rejected-")):  # contracts.md: their streams would have another org's names
            continue
        age = min(MAX_AGE_S, retention.of(org))
        yield WantedStream(f"sb-{org}", (f"sb.{org}.>",), storage, replicas, age, size)
        if joined:
            yield WantedStream(global_stream(org), (), storage, replicas, age, size, tuple(Source(hub.domain, org) for hub in joined))


def stream_bytes(spec: Spec) -> int:
    """The most that a stream may hold there, in bytes."""
    size = spec.jetstream.size
    room = int(size[:-2]) * UNITS[size[-2:]] * 9 // 10  # as the chart says it to the server
    return min(MAX_BYTES, room // SHARES)
