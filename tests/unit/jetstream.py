"""JetStream's API as a connection of ours gets its answers: streams of some domains, which a test may change between two questions."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.adapters.nats.connection import Take
from shared.adapters.nats.duplicates import NO_MESSAGE
from shared.adapters.nats.replies import Answer
from shared.adapters.nats.streams import NOT_FOUND

BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)
NOT_THERE = {"code": 404, "err_code": NOT_FOUND, "description": "stream not found"}


def moment(second: float) -> str:
    """So many seconds after the beginning, as a server says it."""
    return (BEGAN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f123Z")


class Stream:
    """Messages by sequence: id, and the second when each was stored."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.created = moment(0)
        self.messages: dict[int, tuple[str, float]] = {}
        self.config = config or {}
        self.filled: list[dict[str, Any]] = []  # what it says of its sources
        self.error: dict[str, Any] | None = None  # what is answered instead
        self.says: dict[str, Any] = {}  # what it says of itself besides, or instead
        self.now = 0.0  # the second that it is by the clock of its server
        self.starts = 0  # how often its server has started

    def add(self, *ids: str) -> None:
        """Messages, a second each."""
        for id in ids:
            self.now += 1
            self.messages[self.last + 1] = id, self.now

    @property
    def last(self) -> int:
        return max(self.messages, default=0)

    def info(self) -> dict[str, Any]:
        first = min(self.messages, default=0)
        state = {"first_seq": first, "last_seq": self.last}
        said = {"created": self.created, "ts": moment(self.now), "state": state, "config": self.config, "sources": self.filled}
        return said | self.says


class JetStream:
    """A Connection, as far as sourcing goes. `streams` by domain ("" is the leaf's own) and name."""

    def __init__(self, streams: dict[tuple[str, str], Stream]) -> None:
        self.streams = streams
        self.asked: list[str] = []  # methods
        self.reads: dict[str, asyncio.Event] = {}  # by domain: its messages come when this is set
        self.silent: set[str] = set()  # domains that answer nothing
        self.spoils: dict[str, Callable[[bytes], bytes]] = {}  # by domain: what it makes of the reply subjects of its messages
        self.more = 0  # messages that come behind those that were asked for, the last one again
        self.gone: str | None = None
        self._consumers: dict[str, list[tuple[int, str]]] = {}
        self._takers: dict[str, Take] = {}
        self._late: set[asyncio.Task[None]] = set()

    async def ask(self, waiter: Answer, frames: Callable[[str], bytes], deadline: float) -> None:
        head, _, rest = frames("reply").partition(b"\r\n")
        domain, method = _read(head.split(b" ")[1].decode())
        self.asked.append(method)
        if domain in self.silent:
            return
        waiter.take(b"0", json.dumps(self._answer(domain, method, json.loads(rest))).encode(), None)

    def new_inbox(self) -> str:
        return f"_INBOX.{len(self.asked)}"

    def take(self, subject: str, take: Take) -> int:
        self._takers[subject] = take
        return 1

    async def leave(self, number: int) -> None:
        """Nothing comes any more."""

    def send(self, frames: bytes) -> None:
        """A pull."""
        head, _, rest = frames.partition(b"\r\n")
        _, subject, inbox, _ = head.decode().split(" ")
        domain, method = _read(subject)
        task = asyncio.create_task(self._deliver(domain, method.split(".")[-1], self._takers[inbox], json.loads(rest)["batch"]))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _deliver(self, domain: str, consumer: str, take: Take, count: int) -> None:
        if domain in self.reads:
            await self.reads[domain].wait()
        left = self._consumers[consumer]
        for _ in range(count):
            sequence, id = left.pop(0)
            reply = f"$JS.ACK.s.{consumer}.1.{sequence}.1.0.{len(left)}".encode()
            reply = self.spoils[domain](reply) if domain in self.spoils else reply
            take(b"", reply, b"", headers := f"NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n".encode())
        for _ in range(self.more):
            take(b"", reply, b"", headers)

    def _answer(self, domain: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
        kind, name = method.rsplit(".", method.startswith("CONSUMER") + 1)[:2]
        stream = self.streams.get((domain, name))
        if stream is None or stream.error is not None:
            return {"error": NOT_THERE if stream is None else stream.error}
        if kind == "STREAM.INFO":
            return stream.info()
        if kind == "STREAM.UPDATE":
            stream.config = body
            return stream.info()
        if kind == "STREAM.MSG.GET":
            found = stream.messages.get(body["seq"])
            gone = {"error": {"code": 404, "err_code": NO_MESSAGE, "description": "no message found"}}
            return {"message": {"time": moment(found[1])}} if found else gone
        if kind == "CONSUMER.DURABLE.CREATE":
            return {"created": moment(stream.starts)}
        if kind == "CONSUMER.CREATE":
            config = body["config"]
            since = config.get("opt_start_time", "")
            left = [
                (sequence, id)
                for sequence, (id, second) in sorted(stream.messages.items())
                if sequence >= config.get("opt_start_seq", 1) and (not since or datetime.fromisoformat(moment(second)) >= _time(since))
            ]
            self._consumers[config["name"]] = left
            return {"num_pending": len(left)}
        return {}


def _read(subject: str) -> tuple[str, str]:
    """Whose API is asked, and for what."""
    domain, method = subject.removeprefix("$JS.").split("API.", 1)
    return domain.rstrip("."), method


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
