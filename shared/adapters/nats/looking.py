"""What a stream has under some sequences: which messages, by its leader's word (log.md, "Repair")."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated

import msgspec

from shared.adapters.nats.asking import asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.duplicates import NO_MESSAGE, decode_message, get_frames
from shared.adapters.nats.frames import id_in
from shared.adapters.nats.replies import ApiError, Lost, Moment, Number
from shared.adapters.nats.streams import NOT_FOUND
from shared.domain.repairing import LAST, InStream

FOR_EVER_S = 100 * 365 * 86_400.0
AT_ONCE = 200  # messages asked for in one go: each may have 2 MiB


class _State(msgspec.Struct):
    first_seq: Number = 0
    last_seq: Number = 0


class _Config(msgspec.Struct):
    max_age: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0  # nanoseconds; 0: for ever


class _Info(msgspec.Struct):
    created: Moment = ""
    config: _Config = msgspec.field(default_factory=_Config)
    state: _State = msgspec.field(default_factory=_State)
    error: ApiError | None = None


class Found:
    """The message ids under some sequences, as the answers come; `unread` says why something is not known."""

    __slots__ = ("_left", "ids", "sequences", "unread")

    def __init__(self, sequences: Sequence[int]) -> None:
        self.ids: dict[int, bytes] = {}
        self.unread: str | None = None
        self.sequences = sequences
        self._left = set(range(len(sequences)))

    @property
    def complete(self) -> bool:
        return not self._left

    def take(self, place: bytes, data: bytes, headers: bytes | None) -> bool:
        """Note one answer; what it holds besides the id is let go."""
        try:
            index = int(place)
            answer = decode_message(data)
        except (ValueError, msgspec.DecodeError):
            return False
        if index not in self._left:
            return False
        if answer.message is not None:
            found = id_in(answer.message.hdrs)
            if found is not None:
                self.ids[self.sequences[index]] = found
        elif answer.error is None or answer.error.err_code != NO_MESSAGE:
            self.unread = answer.error.description if answer.error else "an answer without a message"
            return False
        self._left.discard(index)
        return not self._left


async def look(connection: Connection, stream: str, sequences: Iterable[int], deadline: float) -> InStream:
    """What the stream has under the sequences, LAST for its last; `deadline` is loop time. Raises Lost where not all of it is known by
    then."""
    info = await asked(connection, f"STREAM.INFO.{stream}", {}, _Info, deadline)
    if info.error is not None:
        if info.error.err_code == NOT_FOUND:
            return InStream("", 0, 0, {})
        raise Lost(f"stream {stream}: {info.error.description}")
    state = info.state
    places = {state.last_seq if sequence == LAST else sequence for sequence in sequences}
    wanted = sorted(sequence for sequence in places if max(state.first_seq, 1) <= sequence <= state.last_seq)
    ids: dict[int, bytes] = {}
    for start in range(0, len(wanted), AT_ONCE):
        found = Found(wanted[start : start + AT_ONCE])
        await connection.ask(found, partial(get_frames, stream, found.sequences), deadline)
        if not found.complete:
            raise Lost(connection.gone or found.unread or "JetStream does not answer")
        ids |= found.ids
    keeps_s = info.config.max_age / 1e9 or FOR_EVER_S
    return InStream(info.created, state.first_seq, state.last_seq, ids, keeps_s)
