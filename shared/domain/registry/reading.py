"""From JSON to what is declared, with a pointer to every fault."""

import re
from typing import Any, TypeVar

import msgspec

from shared.domain.config.reading import MAX_FAULTS, faults_of
from shared.domain.errors import Fault, NotProcessable
from shared.domain.registry.shapes import Access, BackboneName, Domain, Name, Provider, Scope, Spec, Text

MAX_METADATA = 16 * 1024  # bytes
OURS = (
    "id",
    "generation",
    "status",
    "conditions",
    "created",
    "deleting",
    "etag",
)  # in what is read: who writes it back needn't take it out


class ClusterBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster as it is asked for. `org` null is shared; left out, the caller's."""

    name: Name
    provider: Provider
    org: str | msgspec.UnsetType | None = msgspec.UNSET
    region: Text = ""
    access: Access | None = None
    metadata: dict[str, Any] = {}


class BackboneBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backbone as it is asked for."""

    cluster: Name
    name: BackboneName
    org: str | msgspec.UnsetType | None = msgspec.UNSET
    scope: Scope = "local"
    endpoint: str | None = None
    domain: Domain | None = None
    spec: Spec = Spec()
    metadata: dict[str, Any] = {}


Body = TypeVar("Body", ClusterBody, BackboneBody)


def read_body(value: Any, kind: type[Body]) -> Body:
    """The body that a JSON value is; what only Switchboard says is passed over. Raises NotProcessable with a fault for each field."""
    if not isinstance(value, dict):
        raise refused([Fault("", "an object is wanted")])
    wanted = {name: inner for name, inner in value.items() if name not in OURS}
    try:
        body = msgspec.convert(wanted, kind)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        raise refused(list(faults_of(wanted, kind, "")) or [Fault("", "not JSON")]) from None
    if len(msgspec.json.encode(body.metadata)) > MAX_METADATA:
        raise refused([Fault("/metadata", f"over {MAX_METADATA} bytes")])
    if re.search(r"[\x00-\x1f\x7f]", getattr(body, "region", "")):
        raise refused([Fault("/region", "has control characters")])
    return body


def refused(faults: list[Fault]) -> NotProcessable:
    """The error of what can't be declared so."""
    first = faults[0]
    detail = f"this can't be declared: {first.pointer or '/'}: {first.detail}"
    return NotProcessable(detail, rule="registry", faults=faults[:MAX_FAULTS])
