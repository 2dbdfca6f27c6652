"""Where messages are delivered."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.publishing import Outgoing, PublishedGroup
from shared.domain.repairing import InStream


class Backbones(Protocol):
    """The NATS deployments this process can publish to. Conformance: tests/conformance/backbones.py, run on memory and NATS."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish a group of one org's messages to its stream `sb-<org>`, in order; every PubAck awaited, with a deadline.

        The caller has one group in flight per (backbone, org). Makes the stream where it is missing. Never raises for the backbone's
        state: a result says `lost`.
        """

    def reachable(self, backbone: str) -> bool:
        """Whether there is a live connection to it now."""


class Streams(Backbones, Protocol):
    """Backbones whose streams can be looked at, which repair needs: those that this process itself is connected to."""

    async def look(self, backbone: str, org: str, sequences: Sequence[int]) -> InStream:
        """What the org's stream has under the sequences, LAST for its last, by its leader's word. Makes no stream. Raises Unavailable."""

    def connection(self, backbone: str) -> int:
        """The number of the connection to it: another one after each reconnect; 0 where there was none."""
