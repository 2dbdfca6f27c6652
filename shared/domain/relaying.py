"""What a backbone waits for, how its gate stands, and what a relay did about it."""

import msgspec

from shared.domain.message import Message
from shared.domain.record import DeadLetter, Deliveries


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A message that a backbone waits for. `message` is None where its flush is gone from the log: the store has it."""

    index: int
    org: str
    id: bytes
    message: Message | None


class Pending(msgspec.Struct, frozen=True):
    """A flush that a backbone waits for, and what of it. `stuck`: why nothing of it can be read, now or by this release."""

    flush: int
    logged_at: int
    waiting: tuple[Waiting, ...]
    stuck: str | None = None


class Oldest(msgspec.Struct, frozen=True):
    """The oldest entries in log order. `all`: there is nothing behind them."""

    entries: tuple[Pending, ...]
    all: bool


class Retry(msgspec.Struct, frozen=True):
    """What a reachable backbone refused `attempts` times. `due` is microseconds by Redis TIME; `message` as in Waiting."""

    flush: int
    index: int
    attempts: int
    id: bytes
    org: str
    due: int = 0
    message: Message | None = None


class Gate(msgspec.Struct, frozen=True):
    """How a backbone stands: `state` is `open`, `held` or `closing`, `turn` tells this one from every other time it stood so.

    `now` is microseconds by Redis TIME; `pending` and `stuck` count flushes, `due` the retries whose time has come.
    """

    state: str
    turn: str
    now: int
    pending: int
    due: int
    stuck: int = 0


class Watched(msgspec.Struct, frozen=True):
    """A backbone whose lease a worker has: the lease with its fencing number, the seconds that it lasts from when it was asked for, and how
    the backbone stands."""

    lease: str
    lasts_s: float
    gate: Gate


class Relayed(msgspec.Struct):
    """What a relay did. `whole`: flushes of which nothing waits any more; `part`: indexes that don't, of others; `stuck`: flushes
    that can't be read: out of the way until a relay takes the lease anew; `tried`: off the retry schedule; `again`: onto it, after that
    many ms; `records`: what to write into the log of it all."""

    whole: list[int] = []
    part: list[tuple[int, tuple[int, ...]]] = []
    stuck: list[int] = []
    tried: list[Retry] = []
    again: list[tuple[Retry, int]] = []
    records: list[Deliveries | DeadLetter] = []
