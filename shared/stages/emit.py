"""Ingest's events into the Broker: behind the answer, bounded, never waited for. What gets lost on the way is the relay's."""

import asyncio
import json
import logging
from collections.abc import Sequence

from shared.domain.errors import SwitchboardError
from shared.domain.received import Received
from shared.opened import Closing
from shared.resources import Resources
from shared.sources.sink import Token, overrides_of, trusted
from shared.stages import events as wire
from shared.stages.calls import Calls

SECONDS = 30.0  # a call: the in-memory channel answers when the stages have
PAUSES = (0.1, 0.5)
UNDER_WAY = 512  # events; more are left to the relay, rather than memory to them

log = logging.getLogger(__name__)


class Emitter:
    """Says `switchboard.message.received` of each record, under a proof. `extensions` are attributes that every event gets besides,
    `token` the OIDC token of a Broker that has an audience."""

    def __init__(
        self, calls: Calls, keys: Sequence[bytes], source: str, extensions: dict[str, str] | None = None, token: Token | None = None
    ) -> None:
        self.left = 0  # events that were not sent, or not taken
        self._calls, self._keys, self._source, self._token = calls, keys, source, token
        self._extensions = json.dumps(extensions)[1:-1].encode() + b"," if extensions else b""
        self._sending: set[asyncio.Task[None]] = set()

    def emit(self, records: Sequence[Received]) -> None:
        """Begin to send. Never waits, never raises."""
        for record in records:
            if len(self._sending) >= UNDER_WAY:
                self.left += 1
                continue
            task = asyncio.create_task(self._send(record), name="emit")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def reachable(self) -> bool:
        """Whether the last event was taken."""
        return self._calls.reachable()

    async def close(self) -> None:
        """Send what is under way, and end."""
        if self._sending:
            await asyncio.wait(self._sending)
        await self._calls.close()

    async def _send(self, record: Received) -> None:
        message = record.message
        said = wire.Said(
            record.record_id,
            message.org,
            message.principal,
            message.revision,
            (),
            wire.by_name(message),
            grants=record.grants,
            brokered=True,
        )
        try:
            encoded = wire.encode(wire.signed(self._keys[0], wire.RECEIVED, self._source, said, message))
            token = self._token.read() if self._token is not None else None
            headers = {"content-type": wire.STRUCTURED, **({"authorization": f"Bearer {token}"} if token else {})}
            response = await self._calls.post(b"{" + self._extensions + encoded[1:], headers)
            if response.status_code >= 300:
                raise self._calls.failed(f"it answered {response.status_code}: {response.text[:200]}")
            self._calls.worked()
        except (SwitchboardError, UnicodeEncodeError):  # said already; text that JSON can't carry goes with the relay
            self.left += 1


async def open_emitter(resources: Resources) -> Emitter:
    """The process's way to the Broker at K_SINK. Raises Misconfigured where there is no secret to prove with."""

    async def make() -> tuple[Emitter, Closing]:
        settings = resources.settings
        calls = Calls("broker", settings.required("sink"), SECONDS, PAUSES, verify=trusted(settings.ca_certs))
        extensions = overrides_of(settings.ce_overrides)
        emitter = Emitter(calls, settings.secret_keys(), f"/clusters/{settings.cluster}/ingest", extensions, Token())
        resources.counters.gauges["events_left_to_relay"] = lambda: float(emitter.left)
        return emitter, emitter.close

    return await resources.once("broker", make)
