"""The orgs served on one pair of connections: each with its intake, its requests, and its streams; they come and go with the config."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from functions.nats_source.intake import InHand, Intake
from functions.nats_source.requests import Requests
from functions.nats_source.ways import Ways
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.rejects import open_rejected, reject
from shared.adapters.nats.replies import Lost
from shared.adapters.nats.submissions import Submissions, Submitted, say
from shared.edge.flight import Flight, Share

OPEN_WITHIN = 5.0  # seconds for an org's streams
REJECT_WITHIN = 5.0
STREAM_EVERY = 4  # looks at an org; at its consumer each time
OPENED_AT_ONCE = 16
QUEUE = "switchboard"  # the queue group of all sources: each request goes to one

log = logging.getLogger(__name__)


class Org:
    """One org's part of the door. `pulling` delivers what was submitted, `asking` takes requests and whatever we say."""

    def __init__(self, org: str, pulling: Connection, asking: Connection, ways: Ways, flight: Flight) -> None:
        self.org, self.ways, self.rejected = org, ways, 0
        self.lag = self._looks = 0
        self._pulling, self._asking = pulling, asking
        share = Share(flight)
        self.intake = Intake(org, self, ways.submitted, share)
        self.requests = Requests(org, ways.requested, self.send, share)
        self._submissions = Submissions(pulling, org, self.intake.take, self.intake.more)
        self._subscription = 0

    async def open(self) -> None:
        """Make its streams, and begin. Raises Lost."""
        deadline = asyncio.get_running_loop().time() + OPEN_WITHIN
        await open_rejected(self._asking, self.org, deadline)
        await self._submissions.open(deadline)
        self._subscription = self._asking.take(f"request.{self.org}.>", self.requests.take, QUEUE)
        self.intake.start()

    async def look_after(self) -> None:
        """Ask for more where a pull was lost or there is room again; make anew what somebody removed or changed; measure the lag.

        Raises Lost.
        """
        deadline = asyncio.get_running_loop().time() + OPEN_WITHIN
        self._looks += 1
        if self._submissions.broken is not None:
            log.warning("%s: stream and consumer are made as they were: %s", self.org, self._submissions.broken)
            await self._submissions.open(deadline)
        elif self._looks % STREAM_EVERY == 0:
            await self._submissions.keep(deadline)
        self.intake.more()
        self.lag = await self._submissions.lag(deadline)

    async def close(self) -> None:
        """Take nothing more, finish what is in hand, and give the rest back."""
        self._submissions.pull_no_more()
        await asyncio.gather(self._asking.leave(self._subscription), self.intake.finish())
        await self._submissions.close()
        self.intake.give_back()
        await self.requests.drain()

    # ---- what the intake says to the stream; where the server is gone, another delivery makes it good ----------------------------------

    def pull(self, count: int) -> None:
        with suppress(Lost):
            self._submissions.pull(count)

    def ack(self, some: Sequence[InHand]) -> None:
        with suppress(Lost):
            self._submissions.ack(cast("Sequence[Submitted]", some))

    def working(self, some: Sequence[InHand]) -> None:
        with suppress(Lost):
            self._submissions.working(cast("Sequence[Submitted]", some))

    def give_back(self, some: Sequence[InHand]) -> None:
        with suppress(Lost):
            self._submissions.give_back(cast("Sequence[Submitted]", some))

    def send(self, receipts: Sequence[tuple[str, bytes]]) -> None:
        say(self._asking, receipts)

    async def reject(self, one: InHand, reason: str) -> bool:
        """Whether the stream of rejects has it."""
        deadline = asyncio.get_running_loop().time() + REJECT_WITHIN
        try:
            await reject(self._asking, self.org, cast("Submitted", one), reason, deadline)
        except Lost as lost:
            log.warning("%s: a reject can't be kept now: %s", self.org, lost)
            with suppress(Lost):  # its stream may have been removed, or changed
                await open_rejected(self._asking, self.org, deadline)
            return False
        self.rejected += 1
        return True


class Orgs:
    """Those served now. `gone` is told of each that is no longer."""

    def __init__(self, make: Callable[[str], Org], gone: Callable[[Org], None]) -> None:
        self.served: dict[str, Org] = {}
        self._make, self._gone = make, gone
        self._refused: set[str] = set()
        self._going: dict[str, tuple[Org, asyncio.Task[None]]] = {}  # they finish what they have in hand: a slow sink may take long

    @property
    def all(self) -> list[Org]:
        """Those that are on their way out, too."""
        return [*self.served.values(), *(one for one, _ in self._going.values())]

    async def follow(self, wanted: Sequence[str]) -> None:
        """Serve these orgs, and no others. One whose streams can't be made is tried again the next time; one that comes back while it
        goes, when it is gone."""
        for org in self.served.keys() - set(wanted):
            one = self.served.pop(org)
            self._going[org] = one, asyncio.create_task(one.close(), name=f"nats-source-{org}-goes")
        for org, (one, closing) in [each for each in self._going.items() if each[1][1].done()]:
            del self._going[org]
            self._gone(one)
            closing.result()
        new = [org for org in wanted if org not in self.served and org not in self._going]
        for start in range(0, len(new), OPENED_AT_ONCE):
            await asyncio.gather(*map(self._open, new[start : start + OPENED_AT_ONCE]))

    async def look_after(self) -> None:
        """See Org.look_after."""
        orgs = list(self.served.values())
        for start in range(0, len(orgs), OPENED_AT_ONCE):
            for found in await asyncio.gather(*(one.look_after() for one in orgs[start : start + OPENED_AT_ONCE]), return_exceptions=True):
                if isinstance(found, BaseException) and not isinstance(found, Lost):
                    raise found

    async def close(self) -> None:
        """Serve nobody any more."""
        await asyncio.gather(*(one.close() for one in self.served.values()), *(closing for _, closing in self._going.values()))
        for one in self.all:
            self._gone(one)
        self.served, self._going = {}, {}

    async def _open(self, org: str) -> None:
        one = self._make(org)
        try:
            await one.open()
        except Lost as lost:
            if org not in self._refused:
                log.warning("%s can't be served now: %s", org, lost)
            self._refused.add(org)
            return
        self._refused.discard(org)
        self.served[org] = one
