"""Whether doors may publish to a backbone: open, held (the relay delivers) or closing (wait, it is about to open)."""

import asyncio

OPEN, HELD, CLOSING = "open", "held", "closing"


class Gates:
    """What one door process knows of the gates of one shard. Every log reply tells anew; a hold of our own counts at once."""

    def __init__(self) -> None:
        self._shut: dict[str, str] = {}
        self._asked: set[str] = set()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def state(self, backbone: str) -> str:
        return self._shut.get(backbone, OPEN)

    @property
    def anyone_waits(self) -> bool:
        return bool(self._waiting)

    @property
    def anything_asked(self) -> bool:
        return bool(self._asked)

    def hold(self, backbone: str) -> bool:
        """Hold it from now on; the next flush tells the others. Whether that is news."""
        if self._shut.get(backbone) == HELD:
            return False
        self._shut[backbone] = HELD
        self._asked.add(backbone)
        self._wake(backbone)
        return True

    def asked(self) -> set[str]:
        """The holds that no flush has carried yet; the caller carries them now, and gives them back by unsent() if it fails."""
        asked, self._asked = self._asked, set()
        return asked

    def unsent(self, asked: set[str]) -> None:
        self._asked |= asked

    def told(self, gates: dict[str, str]) -> list[str]:
        """What the log said, after it had applied the holds of that flush. One asked for since then stays.

        Answers with the backbones that are held since then: somebody else held them.
        """
        if not gates and not self._shut:
            return []
        before = self._shut
        shut = {backbone: CLOSING if gate.startswith(CLOSING) else HELD for backbone, gate in gates.items()}
        self._shut = shut | dict.fromkeys(self._asked, HELD)
        for backbone in [backbone for backbone in self._waiting if self.state(backbone) != CLOSING]:
            self._wake(backbone)
        return [backbone for backbone, state in self._shut.items() if state == HELD and before.get(backbone) != HELD]

    def held(self) -> list[str]:
        """The backbones that are left to the relay."""
        return [backbone for backbone, state in self._shut.items() if state == HELD]

    async def settled(self, backbone: str, seconds: float) -> str:
        """The state once it isn't `closing` any more, or after that many seconds."""
        if self.state(backbone) == CLOSING:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(backbone, []).append(waiter)
            await asyncio.wait((waiter,), timeout=seconds)
        return self.state(backbone)

    def _wake(self, backbone: str) -> None:
        for waiter in self._waiting.pop(backbone, ()):
            if not waiter.done():
                waiter.set_result(None)
