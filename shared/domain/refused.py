"""Errors as data: what an event carries, and what the log keeps, of a refusal."""

import msgspec

from shared.domain.errors import Fault, SwitchboardError


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as data: its kind, and what it says."""

    kind: str
    status: int
    detail: str
    rule: str | None = None
    faults: tuple[Fault, ...] = ()
    retry_after_ms: int | None = None


_ERRORS = {kind.kind: kind for kind in SwitchboardError.__subclasses__()}


def refused(error: SwitchboardError) -> Refused:
    """The error as data."""
    return Refused(error.kind, error.status, error.detail, error.rule, error.faults, error.retry_after_ms)


def error_of(said: Refused) -> SwitchboardError:
    """The error that was refused with, of its own class."""
    kind = _ERRORS.get(said.kind, SwitchboardError)
    return kind(said.detail, rule=said.rule, faults=said.faults, status=said.status, retry_after_ms=said.retry_after_ms)
