"""Where clusters and backbones are declared."""

from collections.abc import Collection, Sequence
from typing import Protocol

from shared.domain.registry.deciding import Change, Kept, Place, Written
from shared.domain.registry.shapes import Event, Report, Status


class Registry(Protocol):
    """Where clusters and backbones are declared. Conformance: tests/conformance/registry.py, run on memory and PostgreSQL.

    Changes take config revisions, and snapshots have them. Every method raises Unavailable.
    """

    async def registered(self, orgs: Collection[str] | None = None, path: str | None = None) -> dict[Place, Kept]:
        """What these orgs have declared (None: all; `""` is shared), by org and path, in that order; or what is at one path."""

    async def write(self, change: Change, author: str, reason: str = "") -> Written:
        """Do what shared.domain.registry.deciding.decide() makes of the change, and note it in its history. What changes nothing makes
        no revision. Raises Stale; NotProcessable where it doesn't hold, and for a new one of an org that was deleted."""

    async def report(self, org: str, path: str, status: Status, happened: Sequence[Event] = ()) -> bool:
        """Keep how something was found to be, and add to its history (numbers and times are the store's). No revision. False, and nothing
        is kept, where it isn't declared any more."""

    async def report_all(self, reports: Sequence[Report]) -> list[bool]:
        """The same of several, in one step: an answer for each. Of two that are about one place the later one is kept, and what happened is
        of both."""

    async def events(self, org: str, path: str, limit: int, before: int | None = None) -> list[Event]:
        """What happened to something, newest first; the last 1,000 are kept, when it is gone too. `before`: numbers below."""
