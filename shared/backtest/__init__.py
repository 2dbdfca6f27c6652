"""Judging logged messages again in a child process: it may take long, and CEL lets no other thread run."""

import asyncio
import struct
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from shared.domain.errors import Unavailable
from shared.domain.rules.again import Logged, Tally
from shared.trial import child_environment

PAGE_SECONDS = 30.0  # for the child to judge one page
MAX_FRAME = 1 << 30

_head = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_tally = msgspec.msgpack.Decoder(Tally).decode


class Setup(msgspec.Struct, frozen=True):
    """What the child is given first: the documents to judge by (as Rules takes them), how many flips to tell whole, and its bounds:
    `memory` in bytes of address space, `cpu_seconds` for all of it."""

    documents: Mapping[str, Mapping[str, bytes]]
    first: int
    memory: int = 1 << 30
    cpu_seconds: int = 120


class Judging:
    """A child that judges pages of messages: `async with Judging(setup) as judging: await judging.page(...)`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shared.backtest"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=child_environment(),
        )
        self._write(_encode(self._setup))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        child = self._child
        if child is not None:
            if child.returncode is None:
                child.kill()
            await child.wait()

    async def page(self, logged: Sequence[Logged]) -> Tally:
        """Judge these too, which come after all before; what there is in all. Raises Unavailable where the child can't go on."""
        assert self._child is not None
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                self._write(_encode(logged))
                assert self._child.stdin is not None
                await self._child.stdin.drain()
                (length,) = _head.unpack(await self._child.stdout.readexactly(_head.size))
                return _tally(await self._child.stdout.readexactly(length))
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise Unavailable("judging these messages takes more time or memory than there is: choose a shorter time") from error

    def _write(self, frame: bytes) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(_head.pack(len(frame)) + frame)
