"""Bytes that no HTTP client sends: the answer is a problem or a close, and the next client is served as before."""

import json

import pytest

from tests.integration.fronts import FrontProcess


def head(front: FrontProcess, *more: bytes, id: str = "raw") -> bytes:
    """The head of a binary event, without its last line."""
    lines = (
        b"POST /v1/events HTTP/1.1",
        b"host: switchboard",
        b"authorization: Bearer " + front.key.encode(),
        b"content-type: application/json",
        b"ce-specversion: 1.0",
        b"ce-id: " + id.encode(),
        b"ce-source: /raw",
        b"ce-type: raw",
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def body(answer: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(answer.removesuffix(b"<closed>").split(b"\r\n\r\n", 1)[1])
    return document


BAD_HEADS = {
    "Content-Length with Transfer-Encoding": (b"content-length: 2", b"transfer-encoding: chunked"),
    "Transfer-Encoding with Content-Length": (b"transfer-encoding: chunked", b"content-length: 2"),
    "two Content-Lengths": (b"content-length: 2", b"content-length: 3"),
    "Content-Length that is no number": (b"content-length: 2x",),
    "negative Content-Length": (b"content-length: -2",),
    "unknown Transfer-Encoding": (b"transfer-encoding: gzip, identity",),
    "folded value": (b"ce-subject: a\r\n b", b"content-length: 2"),
    "LF in a value": (b"ce-subject: a\nce-x: b", b"content-length: 2"),
    "CR in a value": (b"ce-subject: a\rb", b"content-length: 2"),
    "NUL in a value": (b"ce-subject: a\0b", b"content-length: 2"),
    "space in a name": (b"ce subject: a", b"content-length: 2"),
    "space before the colon": (b"ce-subject : a", b"content-length: 2"),
}


UPGRADES: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "Content-Length": (400, (b"content-length: 2",)),
    "Transfer-Encoding": (400, (b"transfer-encoding: chunked",)),
    "300 headers": (401, (b"x-more: a",) * 300),
    "a token of 8 KiB": (401, (b"authorization: Bearer " + b"a" * 8_192,)),
    "cookies of 60 KiB": (401, (b"cookie: other=" + b"a" * 60_000,)),
}


@pytest.mark.parametrize("path", [b"/v1/events", b"/v1/feed"])
@pytest.mark.parametrize("case", UPGRADES)
def test_upgrade_is_answered_and_the_connection_closed_when_its_head_is_odd(front: FrontProcess, case: str, path: bytes) -> None:
    """It was kept open for as long as its client wanted, without a word and without a key."""
    wanted, more = UPGRADES[case]
    lines = (b"GET %b HTTP/1.1" % path, b"host: switchboard", b"upgrade: websocket", b"connection: Upgrade")
    handshake = (b"sec-websocket-version: 13", b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
    answer = front.raw(b"\r\n".join((*lines, *handshake, *more)) + b"\r\n\r\n")
    assert status(answer) == body(answer)["status"] == wanted
    assert answer.endswith(b"<closed>")
    assert front.ready()


@pytest.mark.parametrize("case", BAD_HEADS)
def test_request_is_refused_and_the_connection_closed_when_its_head_is_ambiguous(front: FrontProcess, case: str) -> None:
    answer = front.raw(head(front, *BAD_HEADS[case]) + b"\r\n{}")
    assert status(answer) == 400, answer
    assert body(answer)["status"] == 400
    assert answer.endswith(b"<closed>")
    assert front.ready()


@pytest.mark.parametrize(
    "lines", [(b"x-long: " + b"a" * 70_000,), (b"x-many: " + b"a" * 100,) * 700], ids=["one long header", "many headers"]
)
def test_answer_is_431_when_the_headers_are_too_large(front: FrontProcess, lines: tuple[bytes, ...]) -> None:
    answer = front.raw(head(front, *lines, b"content-length: 2") + b"\r\n{}")
    assert (status(answer), body(answer)["status"]) == (431, 431)
    assert front.ready()


def test_answer_is_431_when_the_headers_come_one_by_one_and_never_end(front: FrontProcess) -> None:
    answer = front.raw(head(front), *[b"x-more: " + b"a" * 1_000 + b"\r\n"] * 70)
    assert status(answer) == 431
    assert front.ready()


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
@pytest.mark.parametrize("apart", [False, True], ids=["in one packet", "body behind"])
def test_body_is_not_lost_when_a_post_asks_for_an_upgrade(front: FrontProcess, upgrade: bytes, apart: bool) -> None:
    """Java's HttpClient asks for h2c with every POST."""
    id = f"upgrade-{upgrade.decode()}-{apart}"
    lines = head(front, b"connection: upgrade", b"upgrade: " + upgrade, b"content-length: 6", id=id) + b"\r\n"
    parts = [lines, b'"body"'] if apart else [lines + b'"body"']
    first = front.raw(*parts, answers=1)
    assert status(first) == 202
    again = front.raw(head(front, b"content-length: 6", id=id) + b'\r\n"body"', answers=1)
    assert body(again)["duplicate"] is True, again


@pytest.mark.parametrize(
    "lines", [(b"content-length: 3000000",), (b"transfer-encoding: chunked",)], ids=["by its length", "as its chunks come"]
)
def test_answer_is_413_when_the_body_is_too_large(front: FrontProcess, lines: tuple[bytes, ...]) -> None:
    chunks = [b"10000\r\n" + b"a" * 65_536 + b"\r\n"] * 40
    answer = front.raw(head(front, *lines) + b"\r\n", *chunks)
    assert (status(answer), body(answer)["status"]) == (413, 413)
    assert front.ready()


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate,chunked"])
def test_answer_is_415_when_the_body_is_compressed_under_its_chunks(front: FrontProcess, coding: bytes) -> None:
    """It was taken, and what was stored as the body was the compressed bytes."""
    answer = front.raw(head(front, b"transfer-encoding: " + coding, id="coded") + b"\r\n2\r\n{}\r\n0\r\n\r\n", answers=1)
    assert (status(answer), body(answer)["status"]) == (415, 415)
    assert body(answer)["errors"] == [{"pointer": "transfer-encoding", "detail": "only chunked is taken"}]
    assert front.ready()


def test_answer_is_400_when_codings_are_named_in_several_headers(front: FrontProcess) -> None:
    """Of which one alone would be looked at."""
    answer = front.raw(
        head(front, b"transfer-encoding: gzip", b"transfer-encoding: chunked", id="coded") + b"\r\n2\r\n{}\r\n0\r\n\r\n", answers=1
    )
    assert (status(answer), body(answer)["errors"]) == (400, [{"pointer": "transfer-encoding", "detail": "more than once"}])
    assert front.ready()


def test_bytes_that_are_no_http_are_refused_when_a_client_speaks_tls(front: FrontProcess) -> None:
    assert status(front.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) == 400
    assert front.ready()


def test_requests_are_answered_in_order_when_they_are_pipelined(front: FrontProcess) -> None:
    one = head(front, b"content-length: 2", id="pipelined") + b"\r\n{}"
    answer = front.raw(one + one, answers=2)
    first, second = (json.loads(part.split(b"\r\n\r\n", 1)[1]) for part in answer.split(b"HTTP/1.1 202 Accepted\r\n")[1:])
    assert (first["duplicate"], second["duplicate"]) == (False, True)


def test_first_request_is_answered_when_what_follows_is_no_http(front: FrontProcess) -> None:
    answer = front.raw(head(front, b"content-length: 2", id="before") + b"\r\n{}\x00\x01garbage\r\n\r\n")
    assert (status(answer), body(answer)["status"]) == (202, "accepted")
    assert answer.endswith(b"<closed>")


def test_event_is_not_taken_when_its_chunks_break_off(front: FrontProcess) -> None:
    answer = front.raw(head(front, b"transfer-encoding: chunked", id="broken") + b"\r\n1\r\n{\r\nzz\r\n")
    assert status(answer) == 400
    again = front.raw(head(front, b"content-length: 2", id="broken") + b"\r\n{}", answers=1)
    assert body(again)["duplicate"] is False
