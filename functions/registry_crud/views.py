"""What the registry's answers look like (contracts.md, "Registry"), and their schemas."""

from typing import Any

import msgspec

from shared.domain.principal import Principal
from shared.domain.registry.conditions import standing
from shared.domain.registry.deciding import Kept
from shared.domain.registry.reading import BackboneBody, ClusterBody
from shared.domain.registry.shapes import Access, Backbone, Cluster, Event, Spec, Status
from shared.edge import described
from shared.view import time_text

TEXT, MAYBE, COUNT = {"type": "string"}, {"type": ["string", "null"]}, {"type": "integer"}
SHARED_ORG = {"type": ["string", "null"], "description": "null: shared."}
ANY = {"type": "object", "additionalProperties": True}


def reference(kind: Any) -> dict[str, str]:
    """A schema among the document's components."""
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


COMPONENTS = (Access, Spec, Status, ClusterBody, BackboneBody)
CLUSTER = described.object_of(
    name=TEXT,
    org=SHARED_ORG,
    region=TEXT,
    provider={"enum": ["local", "helm"]},
    access={"anyOf": [reference(Access), {"type": "null"}], "description": "null for those whose it isn't."},
    metadata=ANY,
    conditions={"type": "array", "items": ANY},
)
BACKBONE = described.object_of(
    id=TEXT,
    org=SHARED_ORG,
    cluster=TEXT,
    name=TEXT,
    scope={"enum": ["local", "global"]},
    endpoint=MAYBE,
    domain=MAYBE,
    spec=reference(Spec),
    metadata=ANY,
    generation=COUNT,
    deleting={"type": "boolean"},
    status=reference(Status),
)
EVENT = described.object_of(
    number=COUNT,
    time={"type": "string", "format": "date-time"},
    revision={"type": ["integer", "null"]},
    author=TEXT,
    action=TEXT,
    reason=TEXT,
    message=TEXT,
)


def view(kept: Kept, caller: Principal) -> dict[str, object]:
    """A cluster or backbone as the caller may see it: how a shared cluster is got at is for system admins."""
    declared = kept.declared
    said: dict[str, object] = msgspec.to_builtins(declared) | {"org": declared.org or None}
    if isinstance(declared, Backbone):
        del said["found"]  # who said the endpoint is between the reconciler and the registry
        return said | {"status": msgspec.to_builtins(standing(declared, kept.status, kept.since))}
    own = caller.system or declared.org == caller.org
    conditions = () if kept.status is None else kept.status.conditions
    return said | {"access": said["access"] if own else None, "conditions": msgspec.to_builtins(conditions)}


def event_view(event: Event) -> dict[str, object]:
    """`{number, time, revision, author, action, reason, message}`."""
    return msgspec.structs.asdict(event) | {"time": time_text(event.time)}


def id_of(declared: Cluster | Backbone) -> str:
    """What the last part of its URL is."""
    return declared.name if isinstance(declared, Cluster) else declared.id
