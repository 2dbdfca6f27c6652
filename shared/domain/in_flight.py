"""How many messages of a topic are under way in this process: where config bounds it (`buffer.in_flight`), what is over is refused."""

from collections.abc import Sequence

from shared.domain.errors import Overloaded
from shared.domain.message import Message
from shared.domain.snapshot import Snapshot

Key = tuple[str, str]  # org and topic
RETRY_MS = 1_000


class InFlight:
    """The counts of one process, only of topics that are bounded."""

    def __init__(self) -> None:
        self._counts: dict[Key, int] = {}

    def enter(self, messages: Sequence[Message], snapshot: Snapshot) -> list[Overloaded | None] | None:
        """None for each message that has its place, which leave() gives back, and the refusal of each for which there is none.

        None for all of it: nothing here is bounded, and nobody has to leave.
        """
        if not snapshot.rules.buffered:
            return None
        found: list[Overloaded | None] = []
        bounded = False
        for message in messages:
            most = snapshot.rules.in_flight(message)
            bounded = bounded or most is not None
            found.append(None if most is None else self._enter((message.org, message.topic), most))
        return found if bounded else None

    def leave(self, messages: Sequence[Message], entered: Sequence[Overloaded | None], snapshot: Snapshot) -> None:
        """Give back the places that enter() gave under this snapshot."""
        for message, refused in zip(messages, entered, strict=True):
            key = message.org, message.topic
            if refused is None and key in self._counts and snapshot.rules.in_flight(message) is not None:
                self._counts[key] -= 1
                if self._counts[key] <= 0:
                    del self._counts[key]

    def _enter(self, key: Key, most: int) -> Overloaded | None:
        count = self._counts.get(key, 0)
        if count >= most:
            return Overloaded(f"{count} messages of topic {key[1]!r} are in flight here; {most} may be", retry_after_ms=RETRY_MS)
        self._counts[key] = count + 1
        return None
