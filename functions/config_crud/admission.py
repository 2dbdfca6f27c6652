"""Which documents may be published: those that compile, that a trial in a child process finds harmless, and whose targets are there."""

import asyncio
from typing import Any

from functions.config_crud.documents import Admit
from shared.domain.config.compiling import compile_document
from shared.domain.config.document import Document
from shared.domain.config.reading import pointer, refused
from shared.domain.errors import Fault
from shared.trial import try_out

TRIALS = 2  # child processes at a time: each may take a gigabyte of address space, and a core


def admission() -> Admit:
    """What a process admits documents by."""
    trying = asyncio.Semaphore(TRIALS)

    async def admit(path: str, value: Any, *, trial: bool = True, publish: bool = True) -> None:
        """Raise NotProcessable, with a pointer to every fault, unless the document holds at the path.

        `trial`: rules and schema are tried out; not so for what was published before. `publish`: it is to be in force, not only asked of.
        """
        compiled = await asyncio.to_thread(compile_document, path, value)  # the worst takes over a second, and the loop has others to serve
        faults = _unknown(compiled.document) if publish else []
        if not faults and trial:
            async with trying:
                faults = await try_out(compiled)
        if faults:
            raise refused(faults)

    return admit


def _unknown(document: Document) -> list[Fault]:
    """Targets that are nowhere: to take them and deliver nothing would mislead whoever wrote them."""
    faults: list[Fault] = []
    for index, policy in enumerate(document.policies or ()):
        faults += _unknown_targets(pointer("policies", index, "to"), policy.to)
    for index, route in enumerate(document.routes or ()):
        faults += _unknown_targets(pointer("routes", index, "to"), route.to)
    return faults


def _unknown_targets(where: str, targets: Any) -> list[Fault]:
    unknown = [target for target in targets or () if target != "local"]
    return [Fault(where, f"there is no {unknown[0]} yet: the only backbone is the cluster's own, local")] if unknown else []
