"""Errors, named by what the caller must do (architecture.md, "Errors"; HTTP form RFC 9457)."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong with the input: `pointer` is a JSON pointer (RFC 6901) or a header's name."""

    pointer: str
    detail: str


class SwitchboardError(Exception):
    """What every refusal is. `detail` is one sentence for the caller; it never holds a secret or another org's data."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"

    def __init__(
        self,
        detail: str,
        *,
        rule: str | None = None,
        faults: Sequence[Fault] = (),
        status: int | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.rule = rule
        self.faults = tuple(faults)
        self.retry_after_ms = retry_after_ms
        if status is not None:
            self.status = status  # type: ignore[misc]  # an instance may narrow its class's status: 415 is a Malformed


class Malformed(SwitchboardError):
    """Fix the message: it can't be read. `identity` is its message id (16 bytes) all the same, where its source and id can be."""

    status, kind, title = 400, "malformed", "Malformed"
    identity: bytes | None = None


class Unauthenticated(SwitchboardError):
    """Get a key."""

    status, kind, title = 401, "unauthenticated", "Unauthenticated"


class Forbidden(SwitchboardError):
    """Get a grant."""

    status, kind, title = 403, "forbidden", "Forbidden"


class NotFound(SwitchboardError):
    """There is no such thing, or not for this caller: another org's is never told apart from none."""

    status, kind, title = 404, "not-found", "Not found"


class Conflict(SwitchboardError):
    """Read the current state and try again: a precondition (If-Match, If-None-Match) failed."""

    status, kind, title = 412, "conflict", "Precondition failed"


class TooLarge(SwitchboardError):
    """Send less."""

    status, kind, title = 413, "too-large", "Too large"


class NotProcessable(SwitchboardError):
    """The rules say no."""

    status, kind, title = 422, "not-processable", "Not processable"


class Overloaded(SwitchboardError):
    """Slow down, then send the same again after `retry_after_ms`."""

    status, kind, title = 429, "overloaded", "Overloaded"


class Unavailable(SwitchboardError):
    """Outcome unknown: retry with the same id."""

    status, kind, title = 503, "unavailable", "Unavailable"


class Misconfigured(SwitchboardError):
    """An operator must act. Said at start; the process ends with exit code 78 (sysexits EX_CONFIG)."""

    status, kind, title = 500, "misconfigured", "Misconfigured"
    EXIT_CODE: ClassVar[int] = 78
