"""Judging events that somebody made up, by documents that may be nobody's yet, in a child process: what takes long or much takes it there,
and CEL lets no other thread run."""

import asyncio
import sys
from collections.abc import Mapping

import msgspec

from shared.domain.errors import Fault, NotProcessable, Unavailable
from shared.domain.principal import Principal
from shared.trial import child_environment

MAX_ANSWER = 8 << 20  # bytes of one verdict


class Bounds(msgspec.Struct, frozen=True):
    """What all of it may take: `memory` is address space in bytes; `seconds` are for a busy machine: Knative gives a
    request 60."""

    cpu_seconds: int = 10
    seconds: float = 45.0
    memory: int = 1 << 30


USUAL = Bounds()


class Question(msgspec.Struct, frozen=True):
    """What the child is given. `documents` are as Rules takes them, `events` structured CloudEvents (JSON) of the principal's in the org;
    `now` is in microseconds since 1970."""

    documents: Mapping[str, Mapping[str, bytes]]
    org: str
    principal: Principal
    events: list[bytes]
    now: int
    bounds: Bounds = USUAL


async def verdicts(question: Question) -> list[msgspec.Raw]:
    """The verdict on each event, in order, as JSON (shared/checking/verdict.py).

    Raises NotProcessable with a pointer to the event that takes more than there is, Unavailable where a busy machine gives the child none.
    """
    if not question.events:
        return []
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.checking"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
        limit=MAX_ANSWER,
    )
    found: list[msgspec.Raw] = []
    try:
        async with asyncio.timeout(question.bounds.seconds):
            await _converse(child, msgspec.msgpack.encode(question), found)
    except TimeoutError:
        raise Unavailable("the events weren't judged in time; try again, or with fewer", retry_after_ms=1000) from None
    except (ConnectionError, ValueError):
        pass  # it came to its end before it had read or said all: where, is said below
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    if len(found) < len(question.events):
        bounds, at = question.bounds, f"/events/{len(found)}"
        detail = f"takes more than {bounds.cpu_seconds} s or {bounds.memory >> 20} MiB to judge, with those before it"
        raise NotProcessable(f"event {len(found)} {detail}", rule="check", faults=[Fault(at, detail)])
    return found


async def _converse(child: asyncio.subprocess.Process, given: bytes, found: list[msgspec.Raw]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(given)
    child.stdin.write_eof()
    while (line := await child.stdout.readline()).endswith(b"\n"):  # else it ended, maybe as it wrote
        found.append(msgspec.Raw(line[:-1]))
    await child.wait()
