"""Which documents may be published: those that compile."""

from typing import Any

from shared.domain.config.compiling import compile_document


async def admit(path: str, value: Any, *, trial: bool = True) -> None:
    """Raise NotProcessable, with a pointer to every fault, unless the document holds at the path."""
    compile_document(path, value)
