"""Where senders are told of verdicts that come later: both kinds of places, each opened when the first receipt goes there."""

import asyncio
import logging
from typing import TYPE_CHECKING

from shared.domain.errors import Unavailable
from shared.domain.replyto import is_receipts_list
from shared.opened import Closing
from shared.ports import Receipts
from shared.resources import Resources

if TYPE_CHECKING:
    from shared.adapters.nats.receipts import NatsReceipts
    from shared.adapters.redis.receipts import RedisReceipts

PAUSES_S = (0.1, 1.0)  # where nobody else tries again

log = logging.getLogger(__name__)


class Places:
    """The Receipts port on a process's resources. Its inboxes are those of the home backbone's server: without one they get nothing."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        resources.counters.gauges["receipts_without_a_server"] = lambda: float(self.nowhere)
        self.nowhere = 0

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """See Receipts.tell."""
        settings = self._resources.settings
        if is_receipts_list(place, org):
            await (await self._resources.once("receipt-lists", self._open_lists)).tell(org, place, receipt)
        elif settings.nats_url is not None:
            await (await self._resources.once("receipt-inboxes", self._open_inboxes)).tell(org, place, receipt)
        else:
            self.nowhere += 1

    async def _open_lists(self) -> "tuple[RedisReceipts, Closing]":
        from shared.adapters.redis.receipts import RedisReceipts

        settings = self._resources.settings
        lists = RedisReceipts(settings.redis_door_url or settings.required("redis_url"), limit_bytes=settings.redis_door_bytes)
        self._resources.counters.gauges["receipts_dropped"] = lambda: float(lists.dropped)
        return lists, lists.close

    async def _open_inboxes(self) -> "tuple[NatsReceipts, Closing]":
        from shared.adapters.nats.receipts import NatsReceipts

        inboxes = NatsReceipts(self._resources.settings.required("nats_url"))
        await inboxes.start()
        return inboxes, inboxes.stop


class Persistent:
    """The Receipts port for who isn't asked again: tries three times, then counts the receipt as lost. Raises nothing."""

    def __init__(self, receipts: Receipts) -> None:
        self.lost = 0
        self._receipts = receipts

    async def tell(self, org: str, place: str, receipt: bytes) -> None:
        """See Receipts.tell."""
        for pause in (*PAUSES_S, None):
            try:
                await self._receipts.tell(org, place, receipt)
                return
            except Unavailable as error:
                if pause is None:
                    self.lost += 1
                    log.warning("a receipt of %s is lost: %s", org, error.detail)
                else:
                    await asyncio.sleep(pause)
