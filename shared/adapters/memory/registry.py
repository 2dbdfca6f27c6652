"""The registry in memory: the twin of shared/adapters/postgres/registry.py, for unit tests. It shares a config store's revisions."""

import time
from collections.abc import Collection, Sequence

import msgspec

from shared.adapters.memory.config_state import State, second
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.domain.registry.deciding import Change, Kept, Place, Written, decide
from shared.domain.registry.shapes import Event, Report, Status

KEPT_EVENTS = 1_000  # of one thing


class MemoryRegistry:
    """Registry beside a MemoryConfigStore."""

    def __init__(self, config: MemoryConfigStore, credentials: MemoryCredentials | None = None) -> None:
        self._config = config
        self._credentials = credentials or MemoryCredentials(config)
        self._statuses: dict[Place, Status] = {}
        self._events: dict[Place, list[Event]] = {}
        self._number = 0

    async def registered(self, orgs: Collection[str] | None = None, path: str | None = None) -> dict[Place, Kept]:
        return {
            place: kept._replace(status=self._statuses.get(place))
            for place, kept in sorted(self._config.state.registry.items())
            if (orgs is None or place[0] in orgs) and path in (None, place[1])
        }

    async def write(self, change: Change, author: str, reason: str = "") -> Written:
        registered = await self.registered()
        found = registered.get(change.place)
        if found is None:
            self._config.check_open(change.declared.org)
        becomes = decide(change, registered)
        if found is not None and becomes == found.declared:
            return Written(found, found.revision, changed=False)
        org, path = change.place
        kept: Kept | None = None

        def write(state: State, revision: int) -> None:
            nonlocal kept
            state.registry.pop(change.place, None)
            if becomes is not None:
                kept = state.registry[change.place] = Kept(becomes, revision, second())

        revision = await self._config.change(org, author, change.action, path, reason, write)
        if becomes is None:
            self._statuses.pop(change.place, None)
            self._credentials.forget(path.partition("/")[2])
        self._note(change.place, Event(0, 0, revision, author, change.action, reason, change.message))
        status = self._statuses.get(change.place)
        return Written(kept and kept._replace(status=status), revision, created=found is None)

    async def report(self, org: str, path: str, status: Status, happened: Sequence[Event] = ()) -> bool:
        if (org, path) not in self._config.state.registry:
            return False
        self._statuses[org, path] = status
        for event in happened:
            self._note((org, path), event)
        return True

    async def report_all(self, reports: Sequence[Report]) -> list[bool]:
        return [await self.report(*report) for report in reports]

    async def events(self, org: str, path: str, limit: int, before: int | None = None) -> list[Event]:
        found = [event for event in reversed(self._events.get((org, path), [])) if before is None or event.number < before]
        return found[:limit]

    def _note(self, place: Place, event: Event) -> None:
        self._number += 1
        noted = msgspec.structs.replace(event, number=self._number, time=time.time_ns() // 1000)
        self._events[place] = [*self._events.get(place, []), noted][-KEPT_EVENTS:]
