"""The short way for answers: what is delivered, and in which order, is what nats-py's own parser would deliver, however it was cut."""

import asyncio
import contextlib
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from shared.adapters.nats import answers
from shared.adapters.nats.answers import LONGEST_LINE, AnswersFirst
from shared.adapters.nats.connection import Connection

INBOX, OTHER = 7, 71
MANY = 1024 * 1024  # bytes
Delivered = tuple[bytes, bytes, bytes | None]


class Client:
    """What a parser calls, in the order it was called."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.seen.append(("answer" if sid == INBOX else f"{sid} {reply!r}", (subject, data, headers)))

    async def _process_ping(self) -> None:
        self.seen.append(("ping", None))

    async def _process_err(self, error: str) -> None:
        self.seen.append(("error", error))

    def deliver(self, subject: bytes, data: bytes, headers: bytes | None) -> None:
        self.seen.append(("answer", (subject, data, headers)))


def message(sid: int, payload: bytes, reply: bytes = b"", subject: bytes = b"_INBOX.abc.5.0") -> bytes:
    return b"MSG %b %d %b%d\r\n%b\r\n" % (subject, sid, reply and reply + b" ", len(payload), payload)


def headed(sid: int, payload: bytes) -> bytes:
    block = b"NATS/1.0 503\r\n\r\n"
    return b"HMSG _INBOX.abc.5.1 %d %d %d\r\n%b%b\r\n" % (sid, len(block), len(block) + len(payload), block, payload)


PAYLOADS = st.sampled_from([b"", b'{"stream":"sb-acme","seq":1}', b"\r\n", b"MSG _INBOX.abc.5.0 7 0\r\n\r\n", b"x" * 300])
FRAMES = st.one_of(
    PAYLOADS.map(lambda payload: message(INBOX, payload)),
    PAYLOADS.map(lambda payload: message(OTHER, payload)),
    PAYLOADS.map(lambda payload: message(INBOX, payload, b"reply.to")),
    PAYLOADS.map(lambda payload: headed(INBOX, payload)),
    st.sampled_from([b"PING\r\n", b"+OK\r\n", b"-ERR 'slow consumer'\r\n"]),
)


def read(parser: Parser, pieces: list[bytes]) -> None:
    async def all_of_them() -> None:
        for piece in pieces:
            await parser.parse(piece)

    asyncio.run(all_of_them())


@given(frames=st.lists(FRAMES, max_size=12), cuts=st.lists(st.integers(0, 4_000), max_size=8))
def test_all_is_delivered_as_by_nats_py_when_it_comes_in_any_pieces(frames: list[bytes], cuts: list[int]) -> None:
    text = b"".join(frames)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    ours, theirs = Client(), Client()
    parser = AnswersFirst(ours)  # type: ignore[arg-type]
    parser.answers(INBOX, ours.deliver)
    read(parser, pieces)
    read(Parser(theirs), pieces)
    assert ours.seen == theirs.seen
    assert len(ours.seen) == len([frame for frame in frames if frame != b"+OK\r\n"])


def test_connection_is_in_error_as_with_nats_py_when_the_server_speaks_something_else() -> None:
    client = Client()
    parser = AnswersFirst(client)  # type: ignore[arg-type]
    parser.answers(INBOX, client.deliver)
    try:
        read(parser, [message(INBOX, b"first"), b"HELLO\r\n"])
    except ProtocolError:
        assert client.seen == [("answer", (b"_INBOX.abc.5.0", b"first", None))]
    else:
        raise AssertionError("it was taken for the protocol")


def test_answers_wait_for_who_takes_them_when_the_inbox_is_not_there_yet() -> None:
    client = Client()
    read(AnswersFirst(client), [message(INBOX, b"early")])  # type: ignore[arg-type]
    assert client.seen == [("answer", (b"_INBOX.abc.5.0", b"early", None))]


@pytest.mark.parametrize(
    ("begins", "more", "most"),
    [
        (b"MSG a 7 999999999999\r\n", b"x" * 65_536, MANY),
        (b"HMSG a 7 12 999999999999\r\n", b"x" * 65_536, MANY),
        (b"MSG a", b"a" * 32_768, LONGEST_LINE),
        (b"INFO {", b" " * 32_768, LONGEST_LINE),
    ],
)
def test_it_is_no_protocol_when_a_server_says_something_that_has_no_end(
    monkeypatch: pytest.MonkeyPatch, begins: bytes, more: bytes, most: int
) -> None:
    monkeypatch.setattr(answers, "LONGEST", MANY)
    parser = AnswersFirst(Client())  # type: ignore[arg-type]
    read(parser, [begins, *[more] * (most // len(more) - 1)])
    assert most - 2 * len(more) < len(parser.buf) <= most
    with pytest.raises(ProtocolError):
        read(parser, [more, b"x" * len(begins)])


@pytest.mark.parametrize("verb", [b"INFO", b"MSG", b"HMSG", b"-ERR", b"+OK", b"PING", b"PONG"])
@pytest.mark.parametrize("more", [b" ", b"\t", b" 1", b"1", b"'"])
def test_line_without_an_end_costs_no_more_than_reading_it(verb: bytes, more: bytes) -> None:
    """Of spaces behind INFO 32 KiB took 5 s, and the next ones four times as long."""
    parser = AnswersFirst(Client())  # type: ignore[arg-type]
    parser.answers(INBOX, lambda *_: None)
    began = time.process_time()
    read(parser, [verb + b" ", *[more * (32_768 // len(more))] * 2])
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "said",
    [
        message(INBOX, b"").replace(b" 0\r\n", b" %b\r\n" % (b"9" * 5_000)),
        b"-ERR \r\n",
        b"INFO nothing\r\n",
        b"INFO " + b"[" * 9_000 + b"\r\n",
    ],
)
def test_it_is_no_protocol_when_a_server_says_what_can_t_be_read(said: bytes) -> None:
    parser = AnswersFirst(Client())  # type: ignore[arg-type]
    parser.answers(INBOX, lambda *_: None)
    with pytest.raises(ProtocolError):
        read(parser, [said])


def test_largest_message_is_delivered_when_it_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LONGEST", MANY)
    client = Client()
    whole = message(OTHER, b"x" * (MANY - 2))
    read(AnswersFirst(client), [whole[place : place + 65_536] for place in range(0, len(whole), 65_536)])  # type: ignore[arg-type]
    ((_, found),) = client.seen
    assert isinstance(found, tuple)
    assert len(found[1]) == MANY - 2


async def test_connection_ends_when_its_server_says_something_that_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LONGEST", MANY)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true}\r\n')
        pongs = 0
        with contextlib.suppress(ConnectionError):
            while pongs < 2 and (line := await reader.readline()):  # the handshake, and the flush of a connection of ours
                if line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
                    pongs += 1
            writer.write(b"MSG a 7 999999999999\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    connection = Connection()
    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        await connection.open([f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"], "test")
        async with asyncio.timeout(30):
            await connection.ended.wait()
        assert not connection.live
        await connection.close()


async def test_servers_that_a_server_names_are_not_kept() -> None:
    def info(number: int) -> bytes:
        named = ",".join(f'"10.0.{number}.{place}:4222"' for place in range(200))
        return f'INFO {{"server_id":"x","version":"2.15.1","max_payload":1048576,"connect_urls":[{named}]}}\r\n'.encode()

    async def naming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(info(0))
        asked = 0
        while line := await reader.readline():
            if line == b"PING\r\n":
                asked += 1
                writer.write((info(asked) if asked > 1 else b"") + b"PONG\r\n")  # the handshake, and the flush of a connection of ours
        writer.close()

    connection = Connection()
    async with await asyncio.start_server(naming, "127.0.0.1", 0) as server:
        await connection.open([f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"], "test")
        assert connection.live
        assert len(connection._server_pool) == 1
        await connection.close()


@pytest.mark.parametrize("size", ["-1", '"large"', "null", "1e9", str(2**64)])
async def test_connection_is_refused_when_its_server_says_of_no_size_that_it_is_the_largest(size: str) -> None:
    """What is published is compared with it: each group failed, with those of other streams that were asked for together."""

    async def sizing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f'INFO {{"server_id":"x","version":"2.15.1","max_payload":{size}}}\r\n'.encode())
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    connection = Connection()
    async with await asyncio.start_server(sizing, "127.0.0.1", 0) as server:
        with pytest.raises(OSError, match="largest of a message"):
            await connection.open([f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"], "test")
        await connection.close()
