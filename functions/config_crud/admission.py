"""Which documents may be published: those that compile, that a trial in a child process finds harmless, and whose targets are there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from functions.config_crud.documents import Admit
from shared.domain.config.compiling import compile_document
from shared.domain.config.document import Document
from shared.domain.config.reading import pointer, refused
from shared.domain.errors import Fault
from shared.domain.registry.reach import LOCAL, Targets, reaches
from shared.domain.registry.shapes import SHARED
from shared.resources import Resources
from shared.trial import try_out

TRIALS = 2  # child processes at a time: each may take a gigabyte of address space, and a core


Known = Callable[[str], Awaitable[Targets]]


def known_by(resources: Resources) -> Known:
    """What targets stand for to an org, by the registry as it is now: a backbone may be routed to as soon as it is declared."""

    async def known(org: str) -> Targets:
        registry, settings = await resources.registry(), resources.settings
        home = resources.snapshots.current.home
        return Targets(reaches(await registry.registered((org, SHARED))), home, settings.cluster)

    return known


def admission(known: Known) -> Admit:
    """What a process admits documents by; `known` says what an org's targets stand for."""
    trying = asyncio.Semaphore(TRIALS)

    async def admit(org: str, path: str, value: Any, *, trial: bool = True, publish: bool = True) -> None:
        """Raise NotProcessable, with a pointer to every fault, unless the document holds at the path.

        `trial`: rules and schema are tried out; not so for what was published before. `publish`: it is to be in force, not only asked of.
        """
        compiled = await asyncio.to_thread(compile_document, path, value)  # the worst takes over a second, and the loop has others to serve
        faults = await _unknown(compiled.document, org, known) if publish else []
        if not faults and trial:
            async with trying:
                faults = await try_out(compiled)
        if faults:
            raise refused(faults)

    return admit


async def _unknown(document: Document, org: str, known: Known) -> list[Fault]:
    """Targets that are nowhere: to take them and deliver nothing would mislead whoever wrote them."""
    said = [(("policies", index, "to"), policy.to) for index, policy in enumerate(document.policies or ())]
    said += [(("routes", index, "to"), route.to) for index, route in enumerate(document.routes or ())]
    others = [(pointer(*where, at), target) for where, to in said for at, target in enumerate(to or ()) if target != LOCAL]
    if not others:
        return []
    targets = await known(org)
    return [Fault(where, f"there is no {target}: {_why(target)}") for where, target in others if not targets.of(org, target)]


def _why(target: str) -> str:
    if target.startswith("sink:"):
        return "sinks aren't built yet"
    return "the registry has no backbone of yours or a shared one that it stands for"
