from collections.abc import Callable, Mapping, Sequence

from functions.ways import Place, Way
from shared.adapters.nats.frames import Item
from shared.codec.usual import Envelope
from shared.domain.message import Extension, Message
from shared.domain.publishing import Outgoing
from shared.domain.record import Accepted
from shared.domain.verdict import Outcome

def bind_messages(envelope: type, message: type, address: Callable[..., object], sender: Callable[..., object]) -> None: ...
def bind_frames(
    message: type,
    item: type,
    outgoing: type,
    nats_subject: Callable[..., object],
    shared_lines: Callable[..., object],
    extension_lines: Callable[..., object],
) -> None: ...
def bind_batch(message: type, accepted: type) -> None: ...
def add(
    records: Sequence[Accepted],
    places: dict[bytes, int],
    kept: list[Accepted],
    metas: bytearray,
    orgs: dict[str, int],
    targets: dict[tuple[str, ...], int],
) -> tuple[list[int], int, int, bool] | None: ...
def bind_ways(message: type, accepted: type) -> None: ...
def accepted(messages: Sequence[Message], known: dict[Place, Way | None], revision: int) -> list[Accepted] | None: ...
def bind_receipts(message: type, receipt: type, delivery: type) -> None: ...
def messages(
    envelopes: Sequence[Envelope],
    text: bytes,
    org: str,
    received_at: int,
    door: str,
    principal: str,
    revision: int,
    trace: Mapping[str, Extension] | None,
    topic: str | None,
) -> list[Message] | None: ...
def items(group: Sequence[Outgoing] | Sequence[Message], max_payload: int) -> list[Item] | None: ...
def frames(items: list[Item], batch_id: str | None, reply: str) -> bytes | None: ...
def first_batch(messages: Sequence[Message], batch_id: str, max_payload: int, max_bytes: int) -> tuple[list[str], bytes, bytes] | None: ...
def receipt(outcome: Outcome) -> bytes | None: ...
def receipts(outcomes: Sequence[Outcome]) -> bytes | None: ...
def stored_receipts(messages: Sequence[Message], backbone: str, stream: str, first: int) -> bytes | None: ...
