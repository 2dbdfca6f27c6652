"""The log-batch stage as a call: the logger's `write` through the log-batch Service."""

from collections.abc import Sequence

from shared.domain.logged import Taken
from shared.domain.uuid7 import uuid7
from shared.opened import Closing
from shared.resources import Resources
from shared.stages.calls import Calls
from shared.stages.known import BATCHES
from shared.stages.rows import EVENT_TYPE, PROOF, SHARD, SOURCE, Packed, pack_batch, packed, proof_of, source_of, split

SENT_BYTES = 24 * 1024 * 1024  # of a body, unless a single flush has more
SECONDS = 75.0  # a call: the store gives a batch 60 s. What was committed behind an answer that got lost is found by the next try


class RemoteRows:
    """The logger's `write` as a call to the log-batch Service. The first of `keys` proves that it is a logger of ours."""

    def __init__(self, calls: Calls, keys: Sequence[bytes], source: str) -> None:
        self._calls, self._keys, self._source = calls, keys, source

    async def close(self) -> None:
        await self._calls.close()

    def reachable(self) -> bool:
        """Whether the last call was answered."""
        return self._calls.reachable()

    async def write(self, shard: int, taken: Sequence[Taken]) -> None:
        """Hand the flushes over, in calls of SENT_BYTES at most. Returns once all of it is committed.

        Raises Unavailable: then none, some or all of it is, and the caller hands over the same again.
        """
        entries: list[Packed] = []
        size = 0
        for flush in taken:
            entry = packed(flush)
            if entries and size + len(entry.packed) > SENT_BYTES:
                await self._send(shard, entries)
                entries, size = [], 0
            entries.append(entry)
            size += len(entry.packed)
        if entries:
            await self._send(shard, entries)

    async def _send(self, shard: int, entries: list[Packed]) -> None:
        """204 is the only good answer. What the receiver finds too large goes in halves, so that no flush stops those behind it."""
        body = pack_batch((entry.number, entry.packed) for entry in entries)
        response = await self._calls.post(body, self._headers(shard, body))
        if response.status_code == 204:
            self._calls.worked()
            return
        middle = len(entries) // 2
        halves = [entries[:middle], entries[middle:]] if middle else [[part] for part in split(entries[0])]
        if response.status_code != 413 or halves == [entries]:
            raise self._calls.failed(f"it answered {response.status_code}: {response.text[:200]}")
        for half in halves:
            await self._send(shard, half)

    def _headers(self, shard: int, body: bytes) -> dict[str, str]:
        return {
            "ce-specversion": "1.0",
            "ce-id": uuid7().hex(),
            SOURCE: self._source,
            "ce-type": EVENT_TYPE,
            SHARD: str(shard),
            PROOF: proof_of(self._keys[0], self._source, shard, body),
            "content-type": "application/octet-stream",
        }


async def open_rows(resources: Resources) -> RemoteRows:
    """The process's way to the Service at SWITCHBOARD_LOG_BATCH_URL, else to the hub's. Raises Misconfigured where there is no secret to
    prove with."""

    async def make() -> tuple[RemoteRows, Closing]:
        settings = resources.settings
        url = settings.log_batch_url or settings.required("hub_url").rstrip("/") + BATCHES
        rows = RemoteRows(Calls("log-batch", url, SECONDS), settings.secret_keys(), source_of(settings.cluster))
        return rows, rows.close

    return await resources.once("log-batch", make)
