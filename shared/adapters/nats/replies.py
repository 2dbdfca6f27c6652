"""Waiting for what a backbone answers: one reply inbox a connection, a table of who waits for what."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec


class Lost(Exception):
    """There is no answer, and there won't be one. `str()` says why."""


# nats-server, errors.json
STORE_FAILED = 10077  # 503 whatever the reason is
ACCOUNT_FULL = frozenset({10002, 10120})  # 400, but of the account, which is all orgs'


# What goes from an answer into the log is bounded where it is read: who answers may be anybody's server, and the log is everybody's.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]  # of a message in a stream; what is packed, and kept by the store, has room for it
Moment = Annotated[str, msgspec.Meta(max_length=40, pattern=r"\A[^\s\0]*\Z")]  # as a server tells it, RFC 3339; marks have it as one word
Name = Annotated[str, msgspec.Meta(max_length=255)]  # of a stream, or a domain
Reason = Annotated[str, msgspec.Meta(max_length=2_000, pattern=r"\A[^\0]*\Z")]  # some hundred characters; the store has no text with a NUL


class ApiError(msgspec.Struct, frozen=True):
    """The error object of a JetStream answer: `err_code` as in nats-server's errors.json, `code` like a status of HTTP."""

    err_code: int = 0
    code: int = 0
    description: Reason = ""

    @property
    def passes(self) -> bool:
        """Whether it tells of the server's state (no leader, disk full), which holds all messages up, and refuses none.

        A limit of the one stream, which its operator has set, is a refusal: it must not hold up the others.
        """
        if self.err_code == STORE_FAILED:
            return not self.description.startswith(("maximum ", "message "))
        return self.code >= 500 or self.code == 429 or self.err_code in ACCOUNT_FULL


class PubAck(msgspec.Struct, frozen=True):
    """JetStream's answer to a publish. `count` is set for an atomic batch, whose last message has `seq`."""

    stream: Name = ""
    domain: Name = ""
    seq: Number = 0
    duplicate: bool = False
    count: int = 0
    error: ApiError | None = None


NO_RESPONDERS = PubAck(error=ApiError(description="no stream listens on the subject, or it has no leader"))

_decode_ack = msgspec.json.Decoder(PubAck).decode


class Waiter(Protocol):
    """What is waited for."""

    def take(self, place: bytes, data: bytes, headers: bytes | None) -> bool:
        """Note an answer that came on `<reply>.<place>`; whether it was the last one. Raises nothing."""


class Acks:
    """The PubAcks of one publish step, by index. `answers[i]` stays None until its stream has answered.

    An answer of another stream or domain doesn't count: `foreign` says whose came. A PubAck without a domain is one of a server that
    has none; an error never says its domain.
    """

    __slots__ = ("_domain", "_left", "_stream", "answers", "foreign")

    def __init__(self, count: int, stream: str, domain: str) -> None:
        self.answers: list[PubAck | None] = [None] * count
        self.foreign: str | None = None
        self._stream, self._domain = stream, domain
        self._left = count

    def take(self, place: bytes, data: bytes, headers: bytes | None) -> bool:
        """Note a PubAck. Empty answers (flow control) and those that are none are passed over."""
        try:
            index = int(place)
            ack = NO_RESPONDERS if not data and headers and headers.startswith(b"NATS/1.0 503") else _decode_ack(data)
        except (ValueError, msgspec.DecodeError):
            return False
        if (ack.stream != self._stream or ack.domain != self._domain) and not self._is_error_of_ours(ack):
            self.foreign = f"acknowledged by stream {ack.stream}" + (f" of domain {ack.domain}" if ack.domain else "")
            return False
        if not 0 <= index < len(self.answers):
            return False
        if self.answers[index] is None:
            self.answers[index] = ack
            self._left -= 1
        return not self._left

    def _is_error_of_ours(self, ack: PubAck) -> bool:
        return ack is NO_RESPONDERS or (ack.error is not None and ack.stream == self._stream and not ack.domain)


class Answer:
    """The answer to one request; `data` is None until it came, b"" where nobody responds."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: bytes | None = None

    def take(self, place: bytes, data: bytes, headers: bytes | None) -> bool:
        """Note the answer."""
        self.data = data
        return True


class Inbox:
    """Who waits on one connection. Reply subjects are `<prefix>.<number of the wait>.<place>`; `closed` says why nobody waits any more."""

    def __init__(self, prefix: str) -> None:
        self.closed: str | None = None
        self._prefix = prefix
        self._skip = len(prefix) + 1
        self._waiting: dict[bytes, tuple[Waiter, asyncio.Future[None]]] = {}
        self._number = 0

    async def ask(self, waiter: Waiter, send: Callable[[str], None], deadline: float) -> None:
        """Call `send` with a reply subject of its own, and wait for the waiter's last answer, until `deadline` (loop time) at most.

        Returns at once when the connection closes: the waiter shows what is missing. Raises what `send` raises.
        """
        loop = asyncio.get_running_loop()
        self._number += 1
        number, future = str(self._number), loop.create_future()
        self._waiting[number.encode()] = (waiter, future)
        timer = loop.call_at(deadline, _wake, future)
        try:
            send(f"{self._prefix}.{number}")
            await future
        finally:
            timer.cancel()
            del self._waiting[number.encode()]

    def deliver(self, subject: bytes, data: bytes, headers: bytes | None) -> None:
        """Hand an answer to whoever waits for it; for a late one nobody does."""
        number, _, place = subject[self._skip :].partition(b".")
        if (found := self._waiting.get(number)) is not None and found[0].take(place, data, headers):
            _wake(found[1])

    def close(self, reason: str) -> None:
        """The connection is gone: everybody stops waiting."""
        self.closed = self.closed or reason
        for _, future in self._waiting.values():
            _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
