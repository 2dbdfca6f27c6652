"""Trying new rules in a child process, before they are published: what takes too long or too much memory takes it there."""

import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec

from shared.domain.config.compiling import Compiled
from shared.domain.config.reading import pointer
from shared.domain.errors import Fault
from shared.domain.message import Message

_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG")


class Bounds(msgspec.Struct, frozen=True):
    """What a whole trial may take. CPU seconds count, the child's start included: a busy machine makes no rule a bad one; it is given up
    after `seconds` all the same. `memory` is address space in bytes, a third of which Python and the libraries take. `slowest_ms` of CPU
    are allowed for one message."""

    cpu_seconds: int = 2
    seconds: float = 10.0
    memory: int = 1 << 30
    slowest_ms: int = 500


USUAL = Bounds()


class Trial(msgspec.Struct):
    """What the child is given. `rules` are texts with pointers to their place in the document."""

    rules: list[tuple[str, str]]
    schema: bytes | None  # JSON
    sample: list[Message]
    bounds: Bounds


class Tried(msgspec.Struct):
    """One line of the child's answer: a rule it is through with, and what is wrong with it."""

    pointer: str
    fault: str | None = None


async def try_out(compiled: Compiled, sample: Sequence[Message] = (), bounds: Bounds = USUAL) -> list[Fault]:
    """What is wrong with the rules and the schema of a document that compiles: those that take too long or too much on data made to be
    bad for them, or on the sample. That a rule fails on a message is no fault here: it fails closed. Raises nothing."""
    trial = Trial(_places(compiled), _schema(compiled), list(sample), bounds)
    if not trial.rules and trial.schema is None:
        return []
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.trial"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
        limit=1 << 20,
    )
    tried: dict[str, str | None] = {}
    try:
        async with asyncio.timeout(bounds.seconds):
            await _converse(child, msgspec.msgpack.encode(trial), tried)
    except (TimeoutError, ConnectionError):
        pass  # what it is not through with is what is wrong
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    wanted = [at for at, _ in trial.rules] + ([] if trial.schema is None else ["/schema"])
    faults = [Fault(at, said) for at, said in tried.items() if said is not None]
    missing = [at for at in wanted if at not in tried]
    if missing:
        faults.append(Fault(missing[0], f"takes more than {bounds.cpu_seconds} s or {bounds.memory >> 20} MiB to try"))
    return faults


def child_environment() -> dict[str, str]:
    """What the child may know of ours: where Python finds its modules, and no setting."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}


async def _converse(child: asyncio.subprocess.Process, given: bytes, tried: dict[str, str | None]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(given)
    child.stdin.write_eof()
    async for line in child.stdout:
        one = msgspec.json.decode(line, type=Tried)
        tried[one.pointer] = one.fault
    await child.wait()


def _places(compiled: Compiled) -> list[tuple[str, str]]:
    document = compiled.document
    places = [(pointer("policies", index, "when"), policy.when) for index, policy in enumerate(document.policies or ())]
    routes = enumerate(document.routes or ())
    return places + [(pointer("routes", index, "when"), route.when) for index, route in routes if isinstance(route.when, str)]


def _schema(compiled: Compiled) -> bytes | None:
    schema = compiled.document.schema
    return None if isinstance(schema, msgspec.UnsetType) else msgspec.json.encode(schema)
