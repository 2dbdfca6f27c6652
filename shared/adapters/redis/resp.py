"""One connection to Redis or Valkey: commands in one go, replies in their order (RESP 2, packed and read by hiredis).

redis-py, whose parser hiredis is, does far more: cluster, caches, telemetry. Importing it was a sixth of a door's cold start.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

Command = Sequence[bytes | str | int | float]

_pack = cast(Callable[[tuple[bytes | str | int | float, ...]], bytes], hiredis.pack_command)  # its types know one argument
LARGE = 16 * 1024  # bytes: an argument from there on is written as it is, where packing would copy it twice
_MORE = object()  # what hiredis says of a reply that isn't whole yet


class Refused(Exception):
    """An error reply: a command had no effect, or not all of it. It is a reply like any other, and raised where none is expected."""

    @property
    def code(self) -> str:
        """Its first word: `NOSCRIPT`, `OOM`, `READONLY`, or `ERR`."""
        return str(self).partition(" ")[0]


class Connection(asyncio.Protocol):
    """One socket. Not for two callers at once. An error leaves it in no state to go on: close() it."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=Refused, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[list[Any]] | None = None
        self._replies: list[Any] = []
        self._wanted = 0

    async def ask(self, *commands: Command) -> list[Any]:
        """A reply to each command, an error's as a Refused. Raises OSError when the connection is lost: nobody knows what was done."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        if self._waiting is not None:
            raise RuntimeError("two callers of one connection")
        self._replies, self._wanted = [], len(commands)
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            self._transport.writelines([piece for command in commands for piece in _pieces(command)])
            return await self._waiting
        finally:
            self._waiting = None

    async def granted(self, *commands: Command) -> list[Any]:
        """The replies; raises Refused where one of them is an error."""
        replies = await self.ask(*commands)
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply
        return replies

    def close(self) -> None:
        """Throw the connection away, with what isn't written yet."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                if self._waiting is None or len(self._replies) == self._wanted:
                    raise hiredis.ProtocolError("a reply that nobody asked for")
                self._replies.append(reply)
        except hiredis.HiredisError as error:
            self._fail(ConnectionError(f"this is not Redis, or no longer: {error}"))
            self.close()
            return
        if self._waiting is not None and len(self._replies) == self._wanted and not self._waiting.done():
            self._waiting.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(error if isinstance(error, OSError) else ConnectionError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def _pieces(command: Command) -> list[bytes]:
    """A command as it is sent, in pieces."""
    large = [place for place, argument in enumerate(command) if type(argument) is bytes and len(argument) >= LARGE]
    if not large:
        return [_pack(tuple(command))]
    pieces, start = [b"*%d\r\n" % len(command)], 0
    for place in large:
        argument = cast(bytes, command[place])
        pieces += (*_packed(command[start:place]), b"$%d\r\n" % len(argument), argument, b"\r\n")
        start = place + 1
    return [*pieces, *_packed(command[start:])]


def _packed(arguments: Command) -> list[bytes]:
    """Some arguments of a command, without what says how many it has. Never an empty piece: from 3.12 on asyncio's transport keeps one that
    is the last, and asks all the time whether it can be written."""
    if not arguments:
        return []
    whole = _pack(tuple(arguments))
    return [whole[whole.index(b"\n") + 1 :]]
