"""What goes over the wire for one message: its subject, headers and body, within the limits a NATS server closes connections over."""

import re
from collections.abc import Sequence

import msgspec

from shared.adapters.nats.binding import decode_nats, extension_lines, header_lines, shared_lines
from shared.domain.errors import Malformed
from shared.domain.message import Message
from shared.domain.names import nats_subject
from shared.domain.publishing import FirstTime, Outgoing
from shared.speedups import core

MAX_HEADERS = 64 * 1024  # bytes, encoded
REPAIR = "ce-sbrepair: true\r\n"
ROOM_FOR_BATCH = 160  # bytes of headers that an atomic batch adds, or apart()

_NATS_ID = re.compile(r"(?<=\r\nNats-Msg-Id: )[^\r]*")  # no attribute can hold a line break, so there is one

_MESSAGE_ID = re.compile(rb"\r\nNats-Msg-Id: ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class Item(msgspec.Struct, frozen=True, gc=False):
    """A message ready to be sent: `place` is its index in the group; `headers` lacks the empty line that ends it.

    Two with the same `key` are one message to the stream. `size` is in bytes on the wire, without the command's line. With `apart`
    the id is made of the digest too, so that a duplicate is the same message for sure.
    """

    place: int
    subject: str
    headers: str
    body: bytes
    size: int
    key: bytes | str
    known: bool
    digest: bytes
    apart: bool = False


def usual_items(group: Sequence[Outgoing], max_payload: int) -> list[Item] | None:
    """Each message as it is sent, in order; None where encode_group() has to be asked."""
    if core is None:
        return None
    made: list[Item] | None = core.items(group.messages if isinstance(group, FirstTime) else group, max_payload)
    return made


def encode_group(group: Sequence[Outgoing], max_payload: int) -> list[Item | str]:
    """Each message as it is sent, in order, or why no server can take it."""
    return [encode(place, outgoing, max_payload) for place, outgoing in enumerate(group)]


def encode(place: int, outgoing: Outgoing, max_payload: int) -> Item | str:
    """The message as it is sent, or why no server can take it.

    The limits are checked here because a server closes the connection over them, and with it fails everybody's publishes.
    """
    message = outgoing.message
    try:
        subject = nats_subject(message.org, message.subject, message.topic)
        headers = header_lines(message, outgoing.revision, outgoing.nats_id)
        if outgoing.repair:
            headers += REPAIR
    except Malformed as error:
        return error.detail
    except UnicodeEncodeError:
        return "a text with lone surrogates can't be written to NATS"
    if len(headers) > MAX_HEADERS:
        return f"the headers take {len(headers)} bytes; {MAX_HEADERS} are allowed"
    body = message.body or b""
    size = len(headers) + len(body)
    if size + ROOM_FOR_BATCH > max_payload:
        return f"headers and data take {size} bytes; the backbone takes {max_payload - ROOM_FOR_BATCH}"
    return Item(place, subject, headers, body, size, outgoing.nats_id or message.id, outgoing.known, message.digest)


if core is not None:
    core.bind_frames(Message, Item, Outgoing, nats_subject, shared_lines, extension_lines)


def apart(item: Item) -> Item:
    """The message under another id, `<id>:c:<16 hex digits of its digest>`: for a stream that has another message under its own."""
    suffix = f":c:{item.digest[:8].hex()}"
    headers, found = _NATS_ID.subn(lambda line: f"{line[0]}{suffix}", item.headers)
    if found != 1:
        raise ValueError(f"{found} ids in the headers of one message")
    (nats_id,) = _NATS_ID.findall(headers)
    return msgspec.structs.replace(item, headers=headers, size=item.size + len(suffix), key=nats_id, apart=True)


def id_in(headers: bytes) -> bytes | None:
    """The message id in the header block of a message as it lies in a stream, 16 bytes; None where there is none of ours.

    It is the start of Nats-Msg-Id, whatever comes behind it: `:c:` and a digest, `:r:` and a replay's id.
    """
    found = _MESSAGE_ID.search(headers)
    return None if found is None else bytes.fromhex(found[1].replace(b"-", b"").decode())


def content(headers: str, payload: bytes) -> tuple[str | bytes | None, ...]:
    """What may not differ between two messages that are one (log.md, "Identity"), of a message as it lies in a stream.

    `headers` is the header block. An absent body and an empty one are the same here: nobody who reads the stream can tell them apart.
    Raises Malformed.
    """
    lines = [line.partition(":") for line in headers.split("\r\n")[1:]]
    found = decode_nats({name: value.strip() for name, colon, value in lines if colon}, payload).attributes
    of = found.get
    return of("type"), of("subject"), of("topic", of("type")), of("datacontenttype"), of("dataschema"), payload


def single_frames(items: list[Item], reply: str) -> bytes:
    """Each item as a publish of its own, acknowledged on `<reply>.<index>`."""
    made: bytes | None = None if core is None else core.frames(items, None, reply)
    if made is not None:
        return made
    parts: list[bytes] = []
    for index, item in enumerate(items):
        headers, size = item.headers, item.size + 2
        head = f"HPUB {item.subject} {reply}.{index} {len(headers) + 2} {size}\r\n{headers}\r\n"
        parts += (head.encode(), item.body, b"\r\n")
    return b"".join(parts)


def batch_frames(items: list[Item], batch_id: str, reply: str) -> bytes:
    """The items as one atomic batch (ADR-50): all or none; only the last is acknowledged, on `<reply>.0`."""
    made: bytes | None = None if core is None else core.frames(items, batch_id, reply)
    if made is not None:
        return made
    parts: list[bytes] = []
    member = f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: "
    for number, item in enumerate(items, 1):
        place = str(number) if number < len(items) else f"{number}\r\nNats-Batch-Commit: 1"
        headers, added = item.headers, len(member) + len(place) + 4
        to = "" if number < len(items) else f"{reply}.0 "
        head = f"HPUB {item.subject} {to}{len(headers) + added} {item.size + added}\r\n{headers}{member}{place}\r\n\r\n"
        parts += (head.encode(), item.body, b"\r\n")
    return b"".join(parts)
