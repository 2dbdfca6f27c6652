"""Where messages are delivered."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.publishing import Outgoing, PublishedGroup


class Backbones(Protocol):
    """The NATS deployments this process can publish to. Conformance: tests/conformance/backbones.py, run on memory and NATS."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish a group of one org's messages to its stream `sb-<org>`, in order; every PubAck awaited, with a deadline.

        The caller has one group in flight per (backbone, org). Makes the stream where it is missing. Never raises for the backbone's
        state: a result says `lost`.
        """

    def reachable(self, backbone: str) -> bool:
        """Whether there is a live connection to it now."""
