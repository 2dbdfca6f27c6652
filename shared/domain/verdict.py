"""Verdicts and receipts: what was decided, and what the sender is told."""

from typing import Literal

import msgspec

from shared.domain.errors import SwitchboardError
from shared.domain.message import Message


class Shadow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a policy in mode `shadow` would have done to a message, had it been enforced; `error`: it can't be evaluated.

    Those that would have done nothing aren't listed. Part of log records, as a MessagePack map.
    """

    name: str
    outcome: Literal["block", "route", "error"]
    detail: str = ""
    to: tuple[str, ...] = ()


class Detailed(msgspec.Struct, frozen=True):
    """A verdict with more to say: what shadow policies would have done, and where an accepted message goes (`to`: targets in the grammar of
    contracts.md), where judging it told. `blocked` is None for accepted."""

    blocked: SwitchboardError | None
    shadows: tuple[Shadow, ...] = ()
    to: tuple[str, ...] | None = None


Verdict = SwitchboardError | Detailed | None  # None for accepted, with nothing more to say: nearly all are


def blocked_by(verdict: Verdict) -> SwitchboardError | None:
    """The error of the rule that blocks; None for accepted."""
    return verdict.blocked if isinstance(verdict, Detailed) else verdict


def shadows_of(verdict: Verdict) -> tuple[Shadow, ...]:
    """What shadow policies would have done."""
    return verdict.shadows if isinstance(verdict, Detailed) else ()


def targets_of(verdict: Verdict) -> tuple[str, ...] | None:
    """Where an accepted message goes; None where that isn't known yet."""
    return verdict.to if isinstance(verdict, Detailed) else None


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One message put on one backbone: stream and sequence; or `status: pending` (logged, the relay delivers); or the error."""

    backbone: str
    stream: str | None = None
    sequence: int | None = None
    status: str | None = None
    error: str | None = None


def dead_letter(why: str | None) -> Delivery:
    """The delivery of a message that goes nowhere, and why."""
    return Delivery("", status="dead-letter", error=why or "no-route")


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What the sender of an accepted message gets back."""

    message: Message
    revision: int
    deliveries: tuple[Delivery, ...]
    duplicate: bool = False
    status: str = "accepted"


class Refusal(msgspec.Struct, frozen=True):
    """What the sender of any other event gets back. `id` is None where the event has no identity (its source or id could not be read).

    `recorded` says whether `/v1/messages/<id>` shows this refusal; `revision` the config revision it was decided under.
    """

    error: SwitchboardError
    id: bytes | None = None
    revision: int = 0
    recorded: bool = False


Outcome = Receipt | Refusal
