"""What the log remembers of a backbone's streams, and what they say themselves: where the two differ, the backbone lost messages."""

import msgspec

LAST = 0  # as a sequence that is asked for: the stream's last, whichever that is


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A delivery that was recorded: message `id` under `sequence` of the stream that was created at `created` (as NATS tells it)."""

    created: str
    sequence: int
    id: bytes


class Marked(msgspec.Struct, frozen=True):
    """What the log remembers of an org's stream. `mark` is the highest sequence; `doubt` is what that was when a lower sequence, or a
    stream created at another time, was recorded after it: doors overtake each other, but a stream that lost messages looks so too."""

    org: str
    mark: Mark
    doubt: Mark | None = None

    @property
    def to_check(self) -> tuple[Mark, ...]:
        """What the stream must have."""
        return (self.mark,) if self.doubt is None else (self.doubt, self.mark)


class InStream(msgspec.Struct, frozen=True):
    """What an org's stream says of itself: `created` ("" where there is none), its first and last sequence, and the messages that it has
    under the sequences asked for. An id is missing where there is no message, or none of ours."""

    created: str
    first: int
    last: int
    ids: dict[int, bytes]
    keeps_s: float = 7 * 86_400.0  # how long the stream keeps a message; what we give one that we make, where there is none

    def has(self, mark: Mark) -> bool:
        """Whether the message is there. One below the first sequence was there: it expired, and isn't lost."""
        if mark.created != self.created:
            return False
        return mark.sequence < self.first or self.ids.get(mark.sequence) == mark.id


class Recorded(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A delivery as the store has it. `time` is microseconds since 1970."""

    id: bytes
    created: str
    sequence: int
    time: int

    @property
    def mark(self) -> Mark:
        return Mark(self.created, self.sequence, self.id)
