"""The short way through check and resolve: messages of which nothing is asked but size, org and grant. Nearly all are.

What the rules, the principal's grants and the routes say of such a message depends on its place alone: org, topic and subject. It is
remembered by place, so that a message costs one look.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.record import Accepted
from shared.domain.rules.rules import MAX_KNOWN
from shared.domain.snapshot import Snapshot
from shared.speedups import core

Place = tuple[str, str, str | None]  # org, topic, subject

if core is not None:
    core.bind_ways(Message, Accepted)


class Way(NamedTuple):
    """What becomes of the messages of a place that have at most `max_bytes` of data and name no org themselves."""

    max_bytes: int
    targets: tuple[str, ...]
    undeliverable: str | None


class Ways:
    """The ways of one process, under the snapshot in force."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._of: dict[Principal, dict[Place, Way | None]] = {}
        self._count = 0

    def accepted(self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[Accepted] | None:
        """The records of these messages of one principal, in order, where nothing is said against any of them or beside it. None where the
        stages have to be asked."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._forget()
        known = self._of.get(principal)
        if known is None:  # kept once there is something in it: senders without end are counted by their places
            known = {}
        made: list[Accepted] | None = None if core is None else core.accepted(messages, known, snapshot.revision)
        return self._accepted(messages, principal, snapshot, known) if made is None else made

    def _forget(self) -> None:
        self._of, self._count = {}, 0

    def _accepted(
        self, messages: Sequence[Message], principal: Principal, snapshot: Snapshot, known: dict[Place, Way | None]
    ) -> list[Accepted] | None:
        records: list[Accepted] = []
        for message in messages:
            place = message.org, message.topic, message.subject
            way = known[place] if place in known else self._found(message, principal, snapshot, known)
            if way is None or message.revision != snapshot.revision:
                return None
            if message.body is not None and len(message.body) > way.max_bytes:
                return None
            if message.extensions is not None and "org" in message.extensions:
                return None
            records.append(Accepted(message, way.targets, way.undeliverable))
        return records

    def _found(self, message: Message, principal: Principal, snapshot: Snapshot, known: dict[Place, Way | None]) -> Way | None:
        rules = snapshot.rules
        if rules.buffered or not rules.knows((message,)):  # how many are in flight is counted, and compiling is waited for, elsewhere
            return None
        if self._count >= MAX_KNOWN:
            self._forget()
            known.clear()
        way = _way(message, principal, snapshot)
        self._of[principal] = known
        known[message.org, message.topic, message.subject] = way
        self._count += 1
        return way


def _way(message: Message, principal: Principal, snapshot: Snapshot) -> Way | None:
    scope = snapshot.rules.scope(message.org, message.topic, message.subject)
    if not scope.free or scope.targets is None or not principal.may_touch("publish", message.topic, message.subject):
        return None
    resolved = snapshot.targets.resolve(message.org, scope.targets)
    return Way(scope.max_bytes, resolved.backbones, resolved.undeliverable)
