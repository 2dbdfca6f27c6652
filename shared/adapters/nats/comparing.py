"""What a leaf's stream lacks of a hub's that has begun a new life: by the ids of their messages (sourcing.py)."""

import hashlib
from array import array
from collections.abc import Collection, Hashable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from shared.adapters.nats.asking import API, asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.leaves import Json, Leaf, Origin, api_of
from shared.adapters.nats.reading import Unreadable, ids_from, stored_at
from shared.adapters.nats.replies import ApiError, Lost
from shared.domain.registry.streams import Source

WITNESS = "switchboard=life"  # no principal's consumer is called so
OVERLAP = 1_000  # messages of a leaf's stream that may have come while it was asked
APART_S = 120.0  # seconds by which the clocks of a hub's servers may be apart, or be set back


class Mark(NamedTuple):
    """What a look found in one `life` of a hub's stream, `created` then: all that it had up to `sequence` was in the leaf's, up to `leaf`
    there. `at` is the time of the hub's server that said so, `stored` when the message under that sequence was stored, empty where there
    is none: another one under it has another time, to the nanosecond."""

    life: str = ""
    created: str = ""
    sequence: int = 0
    stored: str = ""
    leaf: int = 0
    at: str = ""


class _Made(msgspec.Struct):
    created: str = ""
    error: ApiError | None = None


class _Unsure(NamedTuple):
    """What the leaf may lack: what the hub has from a sequence on, or has stored since a time. It is looked for in the leaf's from `behind`
    on. `older_may_be_gone`: it may be what the leaf had."""

    start: int = 1
    since: str = ""
    behind: int = 1
    older_may_be_gone: bool = False


async def life_of(connection: Connection, one: Source) -> tuple[Origin, str]:
    """A hub's stream, and the name of its life: where that is the one it was, what was asked just before is of it, too. No name where there
    is no such stream, or nobody may make a consumer of it. Raises Lost where the hub doesn't answer."""
    api, stream = api_of(one.domain), f"sb-{one.org}"
    origin = await asked(connection, f"STREAM.INFO.{stream}", {}, Origin, api=api)
    if origin.error is not None:
        return origin, ""
    if origin.cluster.leader_since:  # of a cluster: no other may have taken over
        return origin, _named(origin.created, origin.cluster.leader_since)
    # A single server says nothing of when it started; but a consumer in its memory is gone then, and made anew here.
    config: Json = {"durable_name": WITNESS, "ack_policy": "none", "deliver_policy": "new", "mem_storage": True, "num_replicas": 1}
    request: Json = {"stream_name": stream, "config": config}
    witness = await asked(connection, f"CONSUMER.DURABLE.CREATE.{stream}.{WITNESS}", request, _Made, api=api)
    if witness.error is not None:
        return origin, ""
    return origin, _named(origin.created, witness.created)


async def time_under(connection: Connection, one: Source, sequence: int) -> str:
    """When a hub's stream stored the message under a sequence; empty where it has none, or won't say. Raises Lost."""
    try:
        return (await stored_at(connection, api_of(one.domain), f"sb-{one.org}", sequence) or "") if sequence else ""
    except Unreadable:
        return ""


async def next_missing(connection: Connection, stream: str, one: Source, origin: Origin, mark: Mark) -> int:
    """The first sequence of the hub's stream whose message the leaf's should have and hasn't; the next one that the hub will give, where
    there is none. `mark` is of the life before. Raises Lost; Endless where a server gives more than a stream can have."""
    api, hubs, last = api_of(one.domain), f"sb-{one.org}", origin.state.last_seq
    unsure = await _unsure(connection, one, origin, mark)
    sequences, given = array("Q"), array("q")  # of both streams there may be a million: 16 bytes for each of the hub's, 70 of the leaf's
    async for sequence, id in ids_from(connection, api, hubs, unsure.start, last, unsure.since):
        sequences.append(sequence)
        given.append(_short(id))
    if not given:
        return last + 1
    leaf = await asked(connection, f"STREAM.INFO.{stream}", {}, Leaf)  # now: it goes on taking what the hub gives
    if leaf.error is not None:  # an election
        raise Lost(f"{stream}: {leaf.error.description}")
    had = {_short(id) async for _, id in ids_from(connection, API, stream, unsure.behind, leaf.state.last_seq)}
    return first_missing(zip(sequences, given, strict=True), had, older_may_be_gone=unsure.older_may_be_gone) or last + 1


def _short(id: bytes) -> int:
    """64 bits for an id, 0 for none: no two of a stream's have the same but by a chance of one in millions."""
    return hash(id) if id else 0


def first_missing(given: Iterable[tuple[int, Hashable]], had: Collection[Hashable], *, older_may_be_gone: bool) -> int | None:
    """The sequence of the first message that a hub has and a leaf hasn't, by their ids; those without one are passed over.
    `older_may_be_gone`: a leaf's limits may have taken what is before the first one that both have, and all where there is none."""
    missing = not older_may_be_gone
    for sequence, id in given:
        if id in had:
            missing = True
        elif id and missing:
            return sequence
    return None


async def _unsure(connection: Connection, one: Source, origin: Origin, mark: Mark) -> _Unsure:
    """Where the hub may have what the leaf lacks. What is under the mark's sequence tells whether the hub still had it when it began its
    life: no clock does, for its servers may each have another."""
    if not mark.at or not mark.sequence:
        return _Unsure(older_may_be_gone=True)
    if mark.created != origin.created:
        return _Unsure()
    rest = _Unsure(mark.sequence + 1, behind=max(1, mark.leaf + 1 - OVERLAP))
    if mark.sequence < origin.state.first_seq:  # it expired
        return rest
    if mark.sequence <= origin.state.last_seq:
        stored = await stored_at(connection, api_of(one.domain), f"sb-{one.org}", mark.sequence)
        if stored is None:  # somebody removed it
            return _Unsure(older_may_be_gone=True)
        if stored == mark.stored:
            return rest
    return _Unsure(since=_before(mark.at))


def _before(at: str) -> str:
    """A time that is before this one by all clocks. Raises Unreadable where the hub said what isn't one."""
    try:
        return (datetime.fromisoformat(at) - timedelta(seconds=APART_S)).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"it says that it is {at!r}") from error


def _named(*said: str) -> str:
    return hashlib.sha256(" ".join(said).encode()).hexdigest()[:12]
