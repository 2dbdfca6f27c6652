"""How much may be in flight in one process. Memory is bounded here: beyond the bounds the answer is 429, not a queue."""

from shared.domain.errors import Overloaded

EVENTS = 4_096
BYTES = 64 * 1024 * 1024


class Flight:
    """Counts events and bytes of bodies between their arrival and their answer."""

    __slots__ = ("bytes", "events", "max_bytes", "max_events")

    def __init__(self, max_events: int = EVENTS, max_bytes: int = BYTES) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.events = 0
        self.bytes = 0

    def enter(self, events: int, size: int) -> None:
        """So much came."""
        self.events += events
        self.bytes += size

    def leave(self, events: int, size: int) -> None:
        """So much has its answer."""
        self.events -= events
        self.bytes -= size

    def overloaded(self) -> Overloaded:
        """What to refuse with when there is no room."""
        return Overloaded("too many events are in flight here; send the same again a little later", retry_after_ms=1_000)


class Share:
    """One org's part of a flight: it may hold as much as it leaves free, so that no org, nor any few, can fill it for all others."""

    __slots__ = ("bytes", "events", "flight")

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.events = 0
        self.bytes = 0

    def fits(self, size: int = 0) -> bool:
        """Whether the org may have one event more, of so many bytes."""
        flight = self.flight
        return self.events < flight.max_events - flight.events and self.bytes + size < flight.max_bytes - flight.bytes

    def enter(self, events: int, size: int) -> None:
        """So much came."""
        self.events += events
        self.bytes += size
        self.flight.enter(events, size)

    def leave(self, events: int, size: int) -> None:
        """So much has its answer."""
        self.enter(-events, -size)
