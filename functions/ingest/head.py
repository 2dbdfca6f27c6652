"""What the head of a request says of it, before its body is looked at."""

from collections.abc import Sequence

from shared.domain.errors import Fault, Malformed
from shared.edge.asgi import Header
from shared.edge.body import too_large

BATCH_TYPE = b"application/cloudevents-batch"
UNDONE = ((b"content-encoding", b"identity"), (b"transfer-encoding", b"chunked"))  # llhttp takes `gzip, chunked`, and undoes the chunks
ONCE = frozenset((b"authorization", b"content-type", b"content-encoding", b"content-length", b"prefer", b"transfer-encoding"))


def check_head(fields: dict[bytes, bytes], headers: Sequence[Header], limit: int) -> None:
    """Raises what the headers alone say against the request; `limit` is in bytes of its body."""
    if len(fields) != len(headers):
        _refuse_repeated(headers)
    if b"upgrade" in fields:  # shared/edge/server.py says why: this request's body may be lost already
        raise Malformed("send the event without an Upgrade header", faults=[Fault("upgrade", "not on a POST")])
    for name, coding in UNDONE:
        if fields.get(name, coding).lower() != coding:
            fault = Fault(name.decode(), f"only {coding.decode()} is taken")
            raise Malformed(f"send the event uncompressed: of {name.decode()} only {coding.decode()} is taken", faults=[fault], status=415)
    length = fields.get(b"content-length")
    if length is not None and int(length) > limit:
        raise too_large(limit)


def is_batch(content_type: bytes | None) -> bool:
    """Whether the body is to be an array of events."""
    return content_type is not None and content_type[: len(BATCH_TYPE)].lower() == BATCH_TYPE


def _refuse_repeated(headers: Sequence[Header]) -> None:
    """Two values where one is meant could mean one thing to a proxy before us and another to us. The codec judges `ce-` headers."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in ONCE and name in seen:
            text = name.decode()
            raise Malformed(f"the header {text} is there more than once", faults=[Fault(text, "more than once")])
        seen.add(name)
