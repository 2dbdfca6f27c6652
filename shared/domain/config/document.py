"""A config document as a typed value (contracts.md, "Config"). Every number and every list has a bound; an unknown field is an error.

A field that isn't there is UNSET: a more general document's value, or in the end a default of shared/domain/config/merge.py, holds.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_BYTES_EVER = 2 << 20  # what an event may have at most, whatever config says
MAX_RULE_TEXT = 2_000  # characters of one CEL expression
MAX_DOCUMENT = 262_144  # bytes of a document as JSON

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z"
# A target names a cluster, a backbone or a sink; which of them exist is the registry's to say.
TARGET = r"^(local|global|(cluster|backbone|sink):[A-Za-z0-9][A-Za-z0-9._-]{0,62})\Z"

Name = Annotated[str, Meta(pattern=NAME)]
Target = Annotated[str, Meta(pattern=TARGET)]
Targets = Annotated[tuple[Target, ...], Meta(min_length=1, max_length=16)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_RULE_TEXT)]
KeyPart = Literal["org", "topic", "subject", "source", "principal"]


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token bucket for each combination of `per`: `rate` tokens a second, `burst` at most. Buckets are an org's own in any case."""

    name: Name
    per: Annotated[tuple[KeyPart, ...], Meta(max_length=5)]
    rate: Annotated[float, Meta(gt=0, le=1_000_000)]
    burst: Annotated[int, Meta(ge=1, le=10_000_000)]


class Buffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a topic is under way: in one logger batch, and in flight in one process."""

    messages: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    in_flight: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often and how long a backbone that refuses is tried again."""

    attempts: Annotated[int, Meta(ge=1, le=1_000)] | UnsetType = UNSET
    initial_ms: Annotated[int, Meta(ge=1, le=3_600_000)] | UnsetType = UNSET
    max_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | UnsetType = UNSET
    give_up_after: str | UnsetType = UNSET


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CEL expression and what happens where it is true. In mode `shadow` nothing does, but it is recorded what would have."""

    name: Name
    when: Text
    effect: Literal["block", "route"] = "block"
    mode: Literal["enforce", "shadow"] = "enforce"
    to: Targets | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=500)] = ""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where messages go for which `when` is true; without `when`, all that came so far."""

    to: Targets
    when: Text | UnsetType = UNSET


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One document. Lists keep their order; `schema` is JSON Schema 2020-12 for `data`."""

    max_bytes: Annotated[int, Meta(ge=1, le=MAX_BYTES_EVER)] | UnsetType = UNSET
    rate_limits: Annotated[tuple[RateLimit, ...], Meta(max_length=32)] | UnsetType = UNSET
    buffer: Buffer | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET
    schema: dict[str, Any] | bool | UnsetType = UNSET
    policies: Annotated[tuple[Policy, ...], Meta(max_length=64)] | UnsetType = UNSET
    routes: Annotated[tuple[Route, ...], Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    retention: str | UnsetType = UNSET
