"""Where a message of a topic and subject would go, why, and how to listen to it there."""

import shlex
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec

from shared.domain.errors import Forbidden
from shared.domain.message import Message
from shared.domain.names import check_org, global_stream, nats_subject, on_leaf
from shared.domain.principal import Principal
from shared.domain.registry.reach import LOCAL, Reach, leaves_of
from shared.domain.registry.shapes import SHARED
from shared.domain.rules.check import routed
from shared.domain.snapshot import Snapshot

ACTIONS = ("read", "publish", "registry:read", "registry:write")  # one of them on the topic and subject is enough to know


class Place(NamedTuple):
    """A backbone, and what to listen to there. `endpoint` None: there is none yet, or it isn't known here."""

    backbone: str
    cluster: str
    scope: str
    endpoint: str | None
    stream: str
    filter: str
    command: str | None


class Target(NamedTuple):
    """A backbone that a message would go to, and its leaves, where the very message can be heard as well."""

    place: Place
    leaves: tuple[Place, ...]


class Way(NamedTuple):
    """`to` are the targets of the route that takes it, `routed_by` the policy or the place of the route, `undeliverable` why it doesn't get
    everywhere."""

    config_revision: int
    to: tuple[str, ...]
    routed_by: str
    undeliverable: str | None
    backbones: tuple[Target, ...]


def sender_of(caller: Principal, org: str | None) -> Principal:
    """Whose message is meant: the caller's, or that of somebody like it in `org`, for a system admin. Raises Forbidden, Malformed."""
    if org is None or check_org(org) == caller.org:
        return caller
    if not caller.system:
        raise Forbidden(f"only a system admin may ask for another org than {caller.org}")
    return msgspec.structs.replace(caller, org=org)


def way_of(snapshot: Snapshot, caller: Principal, topic: str, subject: str | None, now: int, home_url: str | None) -> Way:
    """The way of a message of the caller's without data. `now` is in microseconds since 1970; `home_url` the home backbone's: what
    credentials it has are left out. Raises Forbidden; Malformed where topic and subject are too long for NATS.
    """
    if not any(caller.may_touch(action, topic, subject) for action in ACTIONS):
        raise Forbidden(f"no grant to read or publish the topic {topic!r}", rule="grant")
    on = nats_subject(caller.org, subject, topic)
    identity = (b"\0" * 16, b"\0" * 32, caller.org, topic, subject, "/resolve", "resolve", topic)
    asked = Message(*identity, None, None, None, None, None, now, "http", caller.name)
    found = routed(asked, caller, snapshot.rules.scope(caller.org, topic, subject))
    resolved = snapshot.targets.resolve(caller.org, found.to)
    targets = tuple(_target(snapshot, id, caller.org, on, home_url) for id in resolved.backbones)
    return Way(snapshot.revision, found.to, found.routed_by, resolved.undeliverable, targets)


def _target(snapshot: Snapshot, id: str, org: str, on: str, home_url: str | None) -> Target:
    """`on` is the subject that the message has on the backbone."""
    known = snapshot.reach(id)
    if known is None:
        return Target(_place(Reach(id, SHARED, snapshot.cluster, LOCAL, _without_credentials(home_url) or ""), f"sb-{org}", on), ())
    leaves = tuple(_place(leaf, global_stream(org), on_leaf(on)) for leaf in leaves_of(known, snapshot.backbones))
    return Target(_place(known, f"sb-{org}", on), leaves)


def _place(known: Reach, stream: str, filter: str) -> Place:
    endpoint = known.endpoint or None
    command = None if endpoint is None else f"nats sub --server {shlex.quote(endpoint)} {shlex.quote(filter)}"
    return Place(known.id, known.cluster, known.scope, endpoint, stream, filter, command)


def _without_credentials(url: str | None) -> str | None:
    if url is None:
        return None
    servers = (urlsplit(server) for server in url.split(","))
    return ",".join(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) for parts in servers)
