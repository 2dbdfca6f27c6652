"""What is told of a backbone: conditions that a person understands, and an event where one of them turns."""

from datetime import datetime
from typing import Literal

import msgspec

from shared.domain.registry.conditions import DRIFTED, REACHABLE, READY, with_conditions
from shared.domain.registry.deploying import Deployment, Ensured, Found
from shared.domain.registry.shapes import Backbone, Condition, Event, Status
from shared.ports.deploying import Seen

SEEN_EVERY_S = 30  # how old what is told of the last time that it was seen may be
WAITS_FOR = "it has no endpoint yet"
ELSEWHERE = "it isn't deployed from here: its endpoint was declared"
KEEPS = ("version", "servers", "leaf", "observed_generation")

Answer = Literal["True", "False", "Unknown"]


class Told(msgspec.Struct, frozen=True):
    """What one look found. `failed`: something stands in the way. `seen` is None where nobody asked whether it answers."""

    ready: Answer
    reason: str
    message: str
    failed: bool = False
    found: Found | None = None
    seen: Seen | None = None
    drift: str = ""
    deployed: bool = False  # something was done just now
    acted: bool = False  # it is what is declared by now

    def status(self, backbone: Backbone, before: Status, now: str) -> Status:
        """The status that says so, given the one before."""
        told = [Condition(READY, self.ready, self.reason, self.message)]
        if self.seen is not None:
            refused = self.seen.refused
            answer: Answer = "Unknown" if refused == WAITS_FOR else "False" if refused else "True"
            reason = "NoEndpoint" if refused == WAITS_FOR else "NoAnswer" if refused else "Answers"
            told.append(Condition(REACHABLE, answer, reason, refused))
        elif self.failed:
            told.append(Condition(REACHABLE, "Unknown", "NotAsked", "it was not got so far as to ask"))
        if self.drift and self.failed and not self.acted:
            told.append(Condition(DRIFTED, "True", "Changed", f"{self.drift}; it could not be put back"))
        elif self.drift:
            told.append(Condition(DRIFTED, "False", "Repaired", f"{self.drift}; it was put back {now}"))
        elif self.acted and not any(one.type == DRIFTED for one in before.conditions):
            told.append(Condition(DRIFTED, "False", "AsDeclared"))
        status = msgspec.structs.replace(before, conditions=with_conditions(before.conditions, told, now))
        if self.acted:
            status = msgspec.structs.replace(status, observed_generation=backbone.generation)
        if self.found is not None:
            version, leaf = self.found.version or before.version, self.found.leaf or before.leaf
            status = msgspec.structs.replace(status, version=version, servers=self.found.servers, leaf=leaf)
        if self.seen is not None and not self.seen.refused:
            status = msgspec.structs.replace(status, last_seen=now)
        return status


def conditions(backbone: Backbone, deployment: Deployment, ensured: Ensured, found: Found | None, seen: Seen) -> Told:
    """What to tell of one that could be looked at. Without `found` it is somebody else's: all there is to know is whether
    it answers."""
    base = Told("False", "", "", found=found, seen=seen, drift=ensured.drift, deployed=ensured.changed, acted=True)

    def told(ready: Answer, reason: str, message: str, *, failed: bool = False) -> Told:
        return msgspec.structs.replace(base, ready=ready, reason=reason, message=message, failed=failed)

    if found is None:
        problem = seen.refused or seen.streams
        return told("False" if problem else "True", "Elsewhere", problem or ELSEWHERE, failed=bool(problem))
    count = f"{found.servers} of {backbone.spec.replicas} servers {'is' if found.servers == 1 else 'are'} up"
    if found.servers < backbone.spec.replicas:
        return told("False", "Starting", f"{count}: {found.problem}" if found.problem else count)
    if found.endpoint is None and found.problem:
        return told("False", "NoEndpoint", found.problem)
    if seen.streams:
        return told("False", "StreamsRefused", seen.streams, failed=True)
    apart = ", ".join(hub.id for hub in deployment.hubs if not hub.urls)
    return told("True", "Running", f"{count}; not joined to {apart}, whose leaf listener can't be reached from here" if apart else count)


def is_news(before: Status, after: Status) -> bool:
    """Whether it is worth a row: anything but the time it was seen, or that time by now."""
    if any(getattr(before, name) != getattr(after, name) for name in KEEPS):
        return True
    if [_said(one) for one in before.conditions] != [_said(one) for one in after.conditions]:
        return True
    return after.last_seen is not None and (before.last_seen is None or _age(before.last_seen, after.last_seen) >= SEEN_EVERY_S)


def happened(before: Status, after: Status, told: Told, author: str) -> list[Event]:
    """The events of one look: what was done, and each condition that turned."""
    events = []
    if told.drift:
        events.append(Event(0, 0, None, author, "backbone.repaired", "", told.drift))
    elif told.deployed:
        events.append(Event(0, 0, None, author, "backbone.deployed", "", f"generation {after.observed_generation}"))
    known = {one.type: one for one in before.conditions}
    for one in after.conditions:
        was = known.get(one.type)
        if one.type != DRIFTED and (was is None or (was.status, was.reason) != (one.status, one.reason)):
            denied = "" if one.status == "True" else "not-"
            events.append(Event(0, 0, None, author, f"backbone.{denied}{one.type.lower()}", one.reason, one.message))
    return events


def _said(one: Condition) -> tuple[str, str, str, str]:
    return one.type, one.status, one.reason, one.message


def _age(before: str, after: str) -> float:
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
