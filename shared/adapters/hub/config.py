"""What an edge has of the config store, at the hub: snapshots by long poll of `/v1/config/snapshot`, and sign-outs told."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import httpx
import msgspec

from shared.adapters.hub.calls import HubCalls
from shared.domain.errors import NotFound, Unavailable
from shared.domain.sessions import Session, encode
from shared.domain.snapshot import Snapshot

PATH = "/v1/config/snapshot"
ENDED = "/v1/config/sessions/ended"
WAIT_S = 10  # of a long poll: a hub that is stopped or cut off without a word is missed after this, and PATIENCE_S
PATIENCE_S = 5.0  # beyond it; and for a snapshot that is asked for by its revision
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between two tries while the hub is away
OLDER_S = 5.0  # a hub of several processes may be asked at one that hasn't heard yet; one restored from a backup stays behind

_decode = msgspec.msgpack.Decoder(Snapshot).decode


class HubConfig:
    """ConfigSource at the hub. `home` is the backbone of this cluster, and its name: what snapshots say instead of the hub's own."""

    def __init__(self, calls: HubCalls, home: str) -> None:
        self._calls, self._home = calls, home
        self._reached = True

    def reachable(self) -> bool:
        """Whether the hub answered when changes() last asked."""
        return self._reached

    async def snapshot(self, revision: int | None = None) -> Snapshot:
        """See ConfigSource."""
        target = PATH if revision is None else f"{PATH}?revision={revision}"
        response = await self._calls.get(target, PATIENCE_S)
        if response.status_code == 404:
            self._calls.worked()
            raise NotFound(f"the state of config revision {revision} isn't known: it is to come, or ended over a day ago")
        return self._snapshot(response)

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one as soon as the hub has it. Waits out a hub that is away, longer each time and never
        in step with other processes."""
        seen: int | None = None
        older_until: float | None = None
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                found = await self._poll(seen)
            except Unavailable:
                self._reached = False
                await _rest(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            self._reached, pause = True, FIRST_PAUSE_S
            if found is not None and seen is not None and found.revision <= seen:
                older_until = older_until or began + OLDER_S
                if began < older_until:
                    await _rest(FIRST_PAUSE_S)
                    continue
            older_until = None
            if found is not None:
                seen = found.revision
                yield found
            elif time.monotonic() - began < WAIT_S / 2:  # a process that is about to end answers at once
                await _rest(FIRST_PAUSE_S)

    async def end_session(self, session: Session) -> None:
        """See ConfigSource."""
        await self._calls.ask(ENDED, encode(session), PATIENCE_S)

    async def _poll(self, seen: int | None) -> Snapshot | None:
        """Another snapshot than the one seen, as soon as there is one; None where there was none."""
        if seen is None:
            return self._snapshot(await self._calls.get(PATH, PATIENCE_S))
        headers = {"if-none-match": f'"{seen}"'}
        response = await self._calls.get(f"{PATH}?wait={WAIT_S}", WAIT_S + PATIENCE_S, headers)
        if response.status_code == 304:
            self._calls.worked()
            return None
        return self._snapshot(response)

    def _snapshot(self, response: httpx.Response) -> Snapshot:
        if response.status_code != 200:
            raise self._calls.failed(f"it answered {response.status_code} to {PATH}: {response.text[:200]}")
        try:
            found = _decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._calls.failed(f"its snapshot can't be read: {error}") from None
        self._calls.worked()
        return msgspec.structs.replace(found, home=self._home, cluster=self._home)


async def _rest(seconds: float) -> None:
    """Half of it at least, so that the processes of a cluster don't ask all at once."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
