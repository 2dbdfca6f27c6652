"""What an org submitted and nobody can give a receipt for: the stream `sb-rejected-<org>`, bounded, for whoever looks after it."""

from base64 import b64encode
from functools import partial

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.replies import Acks, Lost
from shared.adapters.nats.streams import ensure_as
from shared.adapters.nats.submissions import Submitted
from shared.codec.attributes import header_value

REJECTED_BYTES = 16 * 1024 * 1024  # what is kept of an org's rejects: the oldest go first
REJECTED_AGE = 7 * 24 * 3600  # seconds
KEPT_HEADERS = 32 * 1024  # bytes of a reject's headers that are kept; more than 64 KiB a stream takes from nobody
KEPT_PAYLOAD = 4 * 1024 * 1024  # bytes of a reject's payload that are kept: several have room in the stream
ROOM_FOR_REASON = 64 * 1024


def rejected_stream(org: str) -> str:
    """`sb-rejected-<org>`, with the subject `sb._rejected.<org>`: no org's name begins with `_`, and no leaf passes `sb.>` on."""
    return f"sb-rejected-{org}"


async def open_rejected(connection: Connection, org: str, deadline: float) -> None:
    """Make the stream of an org's rejects."""
    await ensure_as(connection, _rejected_config(org), deadline)


async def reject(connection: Connection, org: str, submitted: Submitted, reason: str, deadline: float) -> None:
    """Keep a message that no receipt can be given for: its bytes, with the reason. Returns once the stream has it; raises Lost."""
    acks = Acks(1, rejected_stream(org), connection.domain)
    await connection.ask(acks, partial(_reject_frame, org, submitted, reason, connection.max_payload), deadline)
    (ack,) = acks.answers
    if ack is None or ack.error is not None:
        raise Lost("no PubAck in time" if ack is None or ack.error is None else ack.error.description)


def _reject_frame(org: str, submitted: Submitted, reason: str, max_payload: int, reply: str) -> bytes:
    """The payload as it was; headers say the reason (percent-encoded), subject, sequence and time, and the header block in base64."""
    kept, block = submitted.payload[: min(KEPT_PAYLOAD, max_payload - ROOM_FOR_REASON)], (submitted.headers or b"")[:KEPT_HEADERS]
    cut = len(kept) < len(submitted.payload) or len(block) < len(submitted.headers or b"")
    subject = submitted.subject.decode(errors="replace")
    headers = (
        f"NATS/1.0\r\nsb-reason: {header_value(reason[:1024])}\r\nsb-subject: {header_value(subject)}\r\n"
        f"sb-sequence: {submitted.sequence}\r\nsb-stored: {submitted.stored}\r\nNats-Msg-Id: {submitted.stored}.{submitted.sequence}\r\n"
        f"{'sb-cut: true' + chr(13) + chr(10) if cut else ''}sb-headers: {b64encode(block).decode()}\r\n\r\n"
    ).encode()
    size = len(headers) + len(kept)
    return f"HPUB sb._rejected.{org} {reply}.0 {len(headers)} {size}\r\n".encode() + headers + kept + b"\r\n"


def _rejected_config(org: str) -> dict[str, object]:
    return {
        "name": rejected_stream(org),
        "subjects": [f"sb._rejected.{org}"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_bytes": REJECTED_BYTES,
        "max_age": REJECTED_AGE * 1_000_000_000,
    }
