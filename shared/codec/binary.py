"""Binary mode: attributes in `ce-` headers, data as the body (HTTP binding, 3.1)."""

from collections.abc import Sequence

from shared.codec.attributes import header_name, header_text, shown
from shared.codec.event import Context, compose, malformed
from shared.domain.errors import Fault, Malformed
from shared.domain.message import Extension, Message

Headers = Sequence[tuple[bytes, bytes]]


def decode_binary(content_type: bytes | None, headers: Headers, body: bytes, context: Context) -> Message:
    """The Message of a binary-mode request: the body verbatim, no body being no data. Raises Malformed naming the header."""
    attributes: dict[str, Extension] = {}
    faults: list[Fault] = []
    values = [(name[3:].decode("latin-1"), value) for name, value in headers if name.startswith(b"ce-")]
    if content_type is not None:
        values.append(("datacontenttype", content_type))
    for name, value in values:
        where = header_name(name)
        if name == "datacontenttype" and value is not content_type:
            faults.append(Fault("ce-datacontenttype", "belongs in Content-Type (HTTP binding, 3.1.1)"))
        elif name in attributes:
            faults.append(Fault(where, "is there twice"))
        else:
            try:
                attributes[name] = header_text(value) if name != "datacontenttype" else value.decode()
            except UnicodeDecodeError:
                faults.append(Fault(where, "is not UTF-8"))
                attributes[name] = "?"
    if sum(name == b"content-type" for name, _ in headers) > 1:
        faults.append(Fault("content-type", "is there twice"))
    if faults:
        raise malformed(faults)
    return compose(attributes, body, context, header_name)


def refuse_binary_headers(headers: Headers) -> None:
    """Raise Malformed where a request in structured or batch mode has `ce-` headers too: which of the two would it be?"""
    for name, _ in headers:
        if name[:3] == b"ce-":
            where = shown(name.decode("latin-1"))
            raise Malformed(
                f"{where}: the Content-Type says that the event is in the body, so no attribute may be a header",
                faults=[Fault(where, "is binary mode, the Content-Type is structured mode")],
            )
