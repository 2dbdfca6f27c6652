"""The relays of one shard: one for each backbone there is, and one for each that is gone and still waited for, which makes dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set

from shared.domain.errors import Unavailable
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.repairing import InStream
from shared.pause import set_within

LOOK_S = 0.5  # between two looks at which there are
GONE_EVERY_S = 30.0  # between two looks for those that are gone

Run = Callable[[str, bool, asyncio.Event], Awaitable[None]]  # the relay of a backbone, gone or not, until the event is set


class Relays:
    """`known` says which backbones there are, and whether that is the last word (a store that is away may know of others); `waited` which
    messages wait for."""

    def __init__(
        self,
        known: Callable[[], tuple[Set[str], bool]],
        waited: Callable[[], Awaitable[Set[str]]],
        run: Run,
        gone_every_s: float = GONE_EVERY_S,
    ) -> None:
        self._known = known
        self._waited = waited
        self._run = run
        self._gone_every_s = gone_every_s
        self._suspected: Set[str] = frozenset()  # not known when last looked for
        self._working: dict[tuple[str, bool], tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}  # by backbone

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises what a relay died of."""
        look_for_gone = 0.0
        gone: Set[str] = frozenset()
        try:
            while True:
                known, certain = self._known()
                if certain and asyncio.get_running_loop().time() >= look_for_gone:
                    gone = await self._gone(known)
                    look_for_gone = asyncio.get_running_loop().time() + self._gone_every_s
                self._work({(one, False) for one in known} | {(one, True) for one in gone - known})
                if await set_within(stop, LOOK_S):
                    return
        finally:
            await self._end()

    async def _gone(self, known: Set[str]) -> Set[str]:
        """What is waited for and wasn't known at two looks: what was declared a moment ago, this process may not have heard of yet."""
        try:
            unknown = await self._waited() - known
        except Unavailable:
            return frozenset()
        gone, self._suspected = unknown & self._suspected, unknown
        return gone

    def _work(self, wanted: Set[tuple[str, bool]]) -> None:
        """Exactly these relays are at work, or will be: the next one of a backbone begins when the one before it has ended, and nobody else
        waits for that. Raises what one died of."""
        for place in [place for place in self._working if place not in wanted]:
            stop, task = self._working.pop(place)
            stop.set()
            self._ending[place[0]] = task
        for backbone, task in list(self._ending.items()):
            if task.done():
                del self._ending[backbone]
                task.result()
        for place in wanted - self._working.keys():
            if place[0] not in self._ending:
                stop = asyncio.Event()
                self._working[place] = (stop, asyncio.ensure_future(self._run(*place, stop)))
        for _, task in self._working.values():
            if task.done():
                task.result()

    async def _end(self) -> None:
        self._work(frozenset())
        await asyncio.gather(*self._ending.values())


class Gone:
    """The Streams port where a backbone is no more: it refuses everything, and a relay whose schedule has one attempt buries it."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """All of it refused."""
        refused = Published(refused=f"no-route: there is no backbone {backbone} any more")
        return PublishedGroup(backbone, f"sb-{org}", "", ("",) * len(group), (refused,) * len(group))

    async def look(self, backbone: str, org: str, sequences: Sequence[int]) -> InStream:
        """Nothing: there is no stream any more, and nothing to repair."""
        return InStream("", 0, 0, {})

    def connection(self, backbone: str) -> int:
        """None."""
        return 0

    def reachable(self, backbone: str) -> bool:
        """Always: nothing is waited for."""
        return True
