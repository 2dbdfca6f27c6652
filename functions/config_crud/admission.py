"""Which documents may be published: those that compile, and whose new rules did well when they were tried in a process of their own."""

from typing import Any

from shared.domain.config.compiling import compile_document
from shared.domain.config.reading import refused
from shared.trial import try_out


async def admit(path: str, value: Any, *, trial: bool = True) -> None:
    """Raise NotProcessable, with a pointer to every fault, unless the document holds at the path."""
    compiled = compile_document(path, value)
    if trial and (faults := await try_out(compiled)):
        raise refused(faults)
