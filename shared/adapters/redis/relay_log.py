"""The relay's side of one backbone of one shard on Redis or Valkey: every script compares the lease, whose number is the fence."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from shared.adapters.redis import marks
from shared.adapters.redis.batch import size_of
from shared.adapters.redis.index import waiting_in_flush, waiting_in_index
from shared.adapters.redis.keys import prefix
from shared.adapters.redis.link import Argument
from shared.adapters.redis.links import Links
from shared.adapters.redis.log_reader import unpacked
from shared.adapters.redis.scripts import script
from shared.domain.errors import Conflict
from shared.domain.message import Message
from shared.domain.record import Accepted, Flush, pack_records
from shared.domain.relaying import Gate, Oldest, Pending, Relayed, Retry
from shared.domain.repairing import Mark, Marked

LEASE_MS = 3_000
TOO_OLD_US = 5_000_000
READ_BYTES = 8_388_608  # of flushes in one go
NO_LAST = 1 << 53  # Lua's numbers end there

_encode = msgspec.msgpack.Encoder().encode


class RedisRelayLog:
    """The RelayLog port on Redis. `limit_bytes` is the shard's; `links` are connections that it shares with others, else it has its own."""

    def __init__(
        self,
        url: str,
        shard: int,
        backbone: str,
        *,
        limit_bytes: int = 1 << 30,
        worker: str | None = None,
        lease_ms: int = LEASE_MS,
        too_old_us: int = TOO_OLD_US,
        links: Links | None = None,
    ) -> None:
        self.backbone = backbone
        self._worker = worker or secrets.token_hex(8)
        self._prefix = prefix(shard)
        self._limit = limit_bytes
        self._lease_ms = lease_ms
        self._too_old_us = too_old_us
        self._lease = ""
        self._links = links or Links(url, 1)
        self._own = links is None

    async def lease(self) -> bool:
        """See RelayLog.lease."""
        fence: int = await self._run("relay_lease", self._worker, self._lease_ms)
        self._lease = f"{self._worker} {fence}" if fence else ""
        return bool(fence)

    def hold(self, lease: str) -> None:
        """See RelayLog.hold."""
        self._lease = lease

    async def leave(self) -> None:
        """See RelayLog.leave."""
        await self._run("relay_lease", self._worker, 0)
        self._lease = ""

    async def close(self) -> None:
        """Let go of connections of its own."""
        if self._own:
            await self._links.close()

    async def gate(self) -> Gate:
        """See RelayLog.gate."""
        stands, seconds, microseconds, pending, due, stuck = await self._fenced("relay_state", self._too_old_us)
        return gate_of(stands, seconds * 1_000_000 + microseconds, pending, due, stuck)

    async def turn(self, gate: Gate, state: str) -> tuple[Gate | None, int]:
        """See RelayLog.turn."""
        stands, last = await self._fenced("relay_gate", gate.turn, state)
        turned = _word(stands) == state and stands.decode() != gate.turn
        return (msgspec.structs.replace(gate, state=state, turn=stands.decode()) if turned else None), last

    async def oldest(self, limit: int, last: int | None = None) -> Oldest:
        """See RelayLog.oldest."""
        everything, *entries = await self._run("relay_oldest", limit, READ_BYTES, NO_LAST if last is None else last)
        return Oldest(tuple(self._pending(*entry) for entry in entries), bool(everything))

    def _pending(
        self, number: bytes, score: bytes, done: bytes | None, flush: bytes | None, index: bytes | None, fed: bytes | None
    ) -> Pending:
        if index is not None:
            return Pending(int(number), int(float(score)), waiting_in_index(index, self.backbone, done or b""))
        packed = fed if flush is None else flush
        if packed is None:
            return Pending(int(number), int(float(score)), (), stuck="it is gone from the log, its index and the feed's copy too")
        read = unpacked(int(number), packed)
        if not isinstance(read, Flush):
            return Pending(int(number), int(float(score)), (), stuck=read.reason)
        return Pending(int(number), min(int(float(score)), read.logged_at), waiting_in_flush(read, self.backbone, done or b""))

    async def retries(self, limit: int) -> list[Retry]:
        """See RelayLog.retries."""
        found: list[Retry] = []
        flushes: dict[int, Flush] = {}
        for member, due, packed in await self._run("relay_retries", limit, READ_BYTES):
            number, index, attempts, message_id, org = member.decode().split(":")
            if packed is not None:
                read = unpacked(int(number), packed)
                if isinstance(read, Flush):
                    flushes[int(number)] = read
            message = _message(flushes.get(int(number)), int(index))
            found.append(Retry(int(number), int(index), int(attempts), bytes.fromhex(message_id), org, int(float(due)) * 1000, message))
        return found

    async def done(self, relayed: Relayed) -> None:
        """See RelayLog.done."""
        told = _encode(
            {
                "whole": [str(number) for number in relayed.whole],
                "part": [[str(number), indexes] for number, indexes in relayed.part],
                "stuck": [str(number) for number in relayed.stuck],
                "tried": [_member(retry) for retry in relayed.tried],
                "retry": [[_member(retry), delay_ms] for retry, delay_ms in relayed.again],
                "marks": marks.told_by(relayed.records),
            }
        )
        packed = pack_records(relayed.records) if relayed.records else b""
        weight = sum(size_of(record) for record in relayed.records)
        await self._fenced("relay_done", told, packed, weight, self._limit, secrets.token_hex(8))

    async def marks(self) -> list[Marked]:
        """See RelayLog.marks."""
        found, doubts = await self._run("relay_marks")
        return marks.read(found, doubts)

    async def trust(self, marked: Sequence[Marked]) -> None:
        """See RelayLog.trust."""
        doubts = [(each.org, marks.packed(each.doubt)) for each in marked if each.doubt is not None]
        if doubts:
            await self._fenced("relay_mark", _encode({"trust": doubts, "mark": ()}))

    async def mark(self, org: str, mark: Mark | None) -> None:
        """See RelayLog.mark."""
        await self._fenced("relay_mark", _encode({"trust": (), "mark": ((org, marks.packed(mark)),)}))

    async def unwritten(self) -> tuple[int | None, int]:
        """See RelayLog.unwritten."""
        oldest, last = await self._run("relay_unwritten")
        return (int(oldest) if oldest else None), last

    async def _run(self, name: str, *arguments: Argument) -> Any:
        return await self._links.run(script(name), self._prefix, self.backbone, *arguments)

    async def _fenced(self, name: str, *arguments: Argument) -> Any:
        """Raises Conflict when the lease isn't ours, or no longer."""
        reply = await self._run(name, self._lease, *arguments)
        if reply == 0:
            self._lease = ""
            raise Conflict(f"another relay has the lease of backbone {self.backbone}")
        return reply


def gate_of(stands: bytes, now: int, pending: int, due: int, stuck: int) -> Gate:
    """A gate as the scripts answer it."""
    return Gate(_word(stands), stands.decode(), now, pending, due, stuck)


def _word(stands: bytes) -> str:
    return stands.decode().split(" ")[0]


def _member(retry: Retry) -> str:
    return f"{retry.flush}:{retry.index}:{retry.attempts}:{retry.id.hex()}:{retry.org}"


def _message(flush: Flush | None, index: int) -> Message | None:
    record = flush.records[index] if flush is not None and index < len(flush.records) else None
    return record.message if isinstance(record, Accepted) else None
