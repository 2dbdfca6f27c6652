"""A relay with what it works on, in memory. A step is one look at the gate."""

from collections.abc import Awaitable, Callable, Sequence

from functions.logger import relay as relay_module
from functions.logger.outcome import Schedule
from functions.logger.relay import Relay
from shared.adapters.memory.backbones import MemoryBackbones
from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.adapters.memory.relay_log import MemoryRelayLog, MemoryRelayWatch, Relays
from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.repairing import Recorded


class Store:
    """What the store knows of deliveries; `down` makes it unavailable."""

    def __init__(self) -> None:
        self.taken: set[tuple[bytes, bytes]] = set()
        self.down = False
        self.asked: list[int] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None  # what happens while it answers

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        if self.down:
            raise Unavailable("the store is down")
        return {}

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        return []

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        if self.down:
            raise Unavailable("the store is down")
        self.asked.append(len(wanted))
        found = self.taken & set(wanted)
        if self.meanwhile is not None:  # what happens then the answer doesn't know
            await self.meanwhile()
        return found


async def watched(relay: Relay, log: MemoryRelayLog, worker: str = "one") -> None:
    """The relay, told what a look at the log found."""
    asked = vars(relay_module)["time"].monotonic()  # which a test may have put another clock for
    relay.tell((await MemoryRelayWatch([log], worker).look(["local"])).get("local"), asked)


class Scene:
    """A log, a backbone, a store, and a relay with the lease. `now` is Redis's clock in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.queue = MemoryLogQueue(clock=lambda: self.now)
        self.backbones = MemoryBackbones(["local"])
        self.store = Store()
        self.relays = Relays(self.queue, "local", clock=lambda: self.now)
        self.log = MemoryRelayLog(self.relays, "one")
        self.relay = Relay(self.log, "local", self.backbones, self.store, Schedule())

    async def step(self) -> float:
        await watched(self.relay, self.log)
        return await self.relay.step()

    async def work(self, steps: int = 50) -> None:
        """Steps until there is nothing to do at once."""
        for _ in range(steps):
            if await self.step() > 0:
                return
        raise AssertionError("still busy")

    def stored(self, org: str = "acme") -> list[str]:
        """The event ids on the org's stream, in order."""
        stream = self.backbones.streams.get(("local", org))
        return (
            [line[7:] for _, headers, _ in stream.stored for line in headers.split("\r\n") if line.startswith("ce-id: ")] if stream else []
        )

    def records(self, kind: type) -> list[object]:
        return [record for flush in self.queue.flushes for _, record in flush.new() if isinstance(record, kind)]

    @property
    def state(self) -> str:
        return self.queue.held.get("local", "open").split(" ")[0]
