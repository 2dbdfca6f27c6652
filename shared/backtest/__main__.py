"""The child: a Setup, then pages of messages on standard input, a Tally for each on standard output. `python -m shared.backtest`."""

import os
import resource
import struct
import sys
from typing import BinaryIO

import msgspec

from shared.backtest import Setup
from shared.domain.rules.again import Again, Logged
from shared.domain.rules.rules import Rules

NICE = 10  # doors go first

_head = struct.Struct(">I")


def main() -> None:
    """Until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    setup = msgspec.msgpack.decode(_frame(source), type=Setup)
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (setup.memory, setup.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (setup.cpu_seconds, setup.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    again = Again(Rules(setup.documents), setup.first)
    decode = msgspec.msgpack.Decoder(list[Logged]).decode
    while frame := _frame(source):
        for logged in decode(frame):
            again.judge(logged)
        answer = msgspec.msgpack.encode(again.tally)
        sink.write(_head.pack(len(answer)) + answer)
        sink.flush()


def _frame(source: BinaryIO) -> bytes:
    head = source.read(_head.size)
    return source.read(_head.unpack(head)[0]) if len(head) == _head.size else b""


if __name__ == "__main__":
    main()
