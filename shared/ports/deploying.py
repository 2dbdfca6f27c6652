"""What the reconciler asks of the world: leases, what installs backbones, and the streams on them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from shared.domain.registry.deploying import Deployment, Ensured, Found
from shared.domain.registry.login import NO_LOGIN, Login
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import WantedStream


class Leases(Protocol):
    """Who looks after what, one holder a name at a time. Conformance: tests/conformance/leases.py, run on memory and PostgreSQL."""

    async def hold(self, names: Collection[str], seconds: float) -> set[str]:
        """Take or renew the leases of these names for so long; those that are ours now. Raises Unavailable."""

    async def release(self, names: Collection[str]) -> None:
        """Give up those of them that are ours. Raises Unavailable."""


class Provider(Protocol):
    """What makes backbones be: Helm in a cluster, or processes on this machine.

    ensure(), look() and remove() raise Undeployed; calls for one id come one after the other.
    """

    async def ensure(self, wanted: Deployment) -> Ensured:
        """Make it as it is wanted: installed where it is missing, changed where it differs."""

    async def look(self, wanted: Deployment) -> Found:
        """How it is now."""

    async def remove(self, wanted: Deployment) -> bool:
        """Take all of it away; whether nothing is left. Called again until it is so."""

    async def let_go(self, id: str) -> None:
        """Another process looks after it from now on, or none: what only this process can hold is given up."""


class Seen(NamedTuple):
    """How a backbone answers: `refused` says why it doesn't, `streams` why some aren't as they should be."""

    refused: str = ""
    streams: str = ""


class Accounts(Protocol):
    """What backbones' servers are told of accounts. There is one adapter: tests/integration/test_credentials.py."""

    async def connect(self, reach: Reach, login: Login) -> str:
        """Connect to the backbone's servers; empty, or why that can't be."""

    async def tell(self, id: str, token: str) -> str:
        """Hand over an account's token to the servers that it is connected to; empty, or why it can't be. Whoever it says is to be refused
        is disconnected at once."""

    def is_connected(self, reach: Reach) -> bool:
        """Whether the connection that was made to its endpoint is still there: a server that was away may have missed a token."""

    async def let_go(self, id: str) -> None:
        """Disconnect from it."""


class BackboneStreams(Protocol):
    """The streams on backbones of the registry. There is one adapter: tests/integration/test_backbone_streams.py."""

    async def ensure(self, reach: Reach, wanted: Sequence[WantedStream], login: Login = NO_LOGIN) -> Seen:
        """Make the streams there as they are wanted; none is ever removed. What isn't reached is said, never raised. `login` is how to sign
        in where nobody gave credentials of its own."""

    async def let_go(self, id: str) -> None:
        """Disconnect from it."""
