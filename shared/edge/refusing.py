"""What is answered to a head that is no HTTP/1.1 (RFC 9112), and the headers that all answers have."""

import re
from collections.abc import Sequence

from shared.codec import encode_problem
from shared.domain.errors import Fault, Malformed
from shared.edge.asgi import Header

HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")  # RFC 3986, 3.2.2, and a port: what can't be part of one isn't let in


def whole_answer(line: bytes, status: int, detail: str, *faults: Fault) -> bytes:
    """A problem, after which the connection ends; `line` is what follows the version in the status line."""
    body = encode_problem(Malformed(detail, status=status, faults=faults))
    head = b"HTTP/1.1 %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (line, len(body)) + body


NOT_HTTP = whole_answer(
    b"400 Bad Request",
    400,
    "this is not HTTP/1.1 as RFC 9112 has it: look at the request line, at control characters in header values, and at Content-Length "
    "and Transfer-Encoding, of which a request has one at most",
)
NO_HOST = whole_answer(
    b"400 Bad Request",
    400,
    "a request has one Host header, with a host and maybe a port (RFC 9112, 3.2)",
    Fault("Host", "missing, more than one, or no host"),
)


def has_host(headers: Sequence[Header], version: str = "1.1") -> bool:
    """Whether the headers name one host, as RFC 9112, 3.2, wants it; before HTTP/1.1 it may be missing."""
    hosts = [value for name, value in headers if name == b"host"]
    return (len(hosts) == 1 and HOST.fullmatch(hosts[0].strip()) is not None) if hosts else version == "1.0"


class _Common:
    """The lines of the server's own headers, made anew when it has others: each second, for `Date` (RFC 9110, 6.6.1)."""

    __slots__ = ("lines", "of")

    def __init__(self) -> None:
        self.of: Sequence[Header] = ()
        self.lines = b"\r\n"


_common = _Common()


def dated(response: bytes, headers: Sequence[Header]) -> bytes:
    """The response with the server's own headers, `Date` among them."""
    if headers is not _common.of:
        _common.of, _common.lines = headers, b"\r\n" + b"".join([b"%b: %b\r\n" % header for header in headers])
    return response.replace(b"\r\n", _common.lines, 1)
