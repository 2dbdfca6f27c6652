"""Which documents may be published: those that compile, that a trial in a child process finds harmless, and that are in force whole."""

import asyncio
from typing import Any

from msgspec import UNSET

from functions.config_crud.documents import Admit
from shared.domain.config.compiling import compile_document
from shared.domain.config.document import Document
from shared.domain.config.reading import pointer, refused
from shared.domain.errors import Fault
from shared.trial import try_out

# What the model knows and nothing acts on yet: to take it and do nothing would mislead whoever wrote it.
NOT_IN_FORCE = {
    "buffer": "the logger's batches and what is in flight have fixed bounds",
    "retry": "the relay's schedule is fixed",
    "retention": "nothing is removed by age",
}

TRIALS = 2  # child processes at a time: each may take a gigabyte of address space, and a core


def admission() -> Admit:
    """What a process admits documents by."""
    trying = asyncio.Semaphore(TRIALS)

    async def admit(path: str, value: Any, *, trial: bool = True, publish: bool = True) -> None:
        """Raise NotProcessable, with a pointer to every fault, unless the document holds at the path.

        `trial`: rules and schema are tried out; not so for what was published before. `publish`: it is to be in force, not only asked of.
        """
        compiled = await asyncio.to_thread(compile_document, path, value)  # the worst takes over a second, and the loop has others to serve
        faults = _not_in_force(compiled.document) if publish else []
        if not faults and trial:
            async with trying:
                faults = await try_out(compiled)
        if faults:
            raise refused(faults)

    return admit


def _not_in_force(document: Document) -> list[Fault]:
    faults = [
        Fault(pointer(field), f"isn't in force yet, leave it out: {instead}")
        for field, instead in NOT_IN_FORCE.items()
        if getattr(document, field) is not UNSET
    ]
    for index, policy in enumerate(document.policies or ()):
        faults += _unknown_targets(pointer("policies", index, "to"), policy.to)
    for index, route in enumerate(document.routes or ()):
        faults += _unknown_targets(pointer("routes", index, "to"), route.to)
    return faults


def _unknown_targets(where: str, targets: Any) -> list[Fault]:
    unknown = [target for target in targets or () if target != "local"]
    return [Fault(where, f"there is no {unknown[0]} yet: the only backbone is the cluster's own, local")] if unknown else []
