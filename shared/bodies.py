"""The bodies of the store, or the hub, opened when the first is needed: messages are taken while it is away."""

from collections.abc import Awaitable, Callable, Sequence

from shared.domain.message import Message
from shared.ports import Known


class Bodies:
    """Asks what `known` opens."""

    def __init__(self, known: Callable[[], Awaitable[Known]]) -> None:
        self._known = known

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        """See Known.bodies."""
        return await (await self._known()).bodies(wanted)
