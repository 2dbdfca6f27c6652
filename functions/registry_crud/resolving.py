"""Where a message of a topic and subject would go, why, and how to listen to it there."""

import shlex
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from shared.domain.errors import Forbidden
from shared.domain.message import Message
from shared.domain.names import nats_subject
from shared.domain.principal import Principal
from shared.domain.rules.check import routed
from shared.domain.snapshot import Snapshot

ACTIONS = ("read", "publish", "registry:read", "registry:write")  # one of them on the topic and subject is enough to know


class Place(NamedTuple):
    """A backbone that it would go to. `endpoint` None: there is none yet, or it isn't known here."""

    backbone: str
    cluster: str
    scope: str
    endpoint: str | None
    stream: str
    filter: str
    command: str | None


class Way(NamedTuple):
    """`to` are the targets of the route that takes it, `routed_by` the policy or the place of the route, `undeliverable` why it doesn't get
    everywhere."""

    config_revision: int
    to: tuple[str, ...]
    routed_by: str
    undeliverable: str | None
    backbones: tuple[Place, ...]


def way_of(snapshot: Snapshot, caller: Principal, topic: str, subject: str | None, now: int, home_url: str | None) -> Way:
    """The way of a message of the caller's without data. `now` is in microseconds since 1970; `home_url` the home backbone's: what
    credentials it has are left out. Raises Forbidden; Malformed where topic and subject are too long for NATS.
    """
    if not any(caller.may_touch(action, topic, subject) for action in ACTIONS):
        raise Forbidden(f"no grant to read or publish the topic {topic!r}", rule="grant")
    tail = nats_subject(caller.org, subject, topic)
    identity = (b"\0" * 16, b"\0" * 32, caller.org, topic, subject, "/resolve", "resolve", topic)
    asked = Message(*identity, None, None, None, None, None, now, "http", caller.name)
    found = routed(asked, caller, snapshot.rules.scope(caller.org, topic, subject))
    resolved = snapshot.targets.resolve(caller.org, found.to)
    places = tuple(_place(snapshot, id, tail, caller.org, home_url) for id in resolved.backbones)
    return Way(snapshot.revision, found.to, found.routed_by, resolved.undeliverable, places)


def _place(snapshot: Snapshot, id: str, tail: str, org: str, home_url: str | None) -> Place:
    known = snapshot.reach(id)
    cluster, scope = (snapshot.cluster, "local") if known is None else (known.cluster, known.scope)
    endpoint = _without_credentials(home_url) if known is None else known.endpoint or None
    command = None if endpoint is None else f"nats sub --server {shlex.quote(endpoint)} {shlex.quote(tail)}"
    return Place(id, cluster, scope, endpoint, f"sb-{org}", tail, command)


def _without_credentials(url: str | None) -> str | None:
    if url is None:
        return None
    servers = (urlsplit(server) for server in url.split(","))
    return ",".join(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) for parts in servers)
