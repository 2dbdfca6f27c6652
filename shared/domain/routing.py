"""Resolve: which backbones a message goes to. Pure: registry and config in, targets out."""

from shared.domain.message import Message
from shared.domain.snapshot import Snapshot


def resolve(message: Message, snapshot: Snapshot) -> tuple[str, ...]:
    """The ids of the backbones the message goes to, in a fixed order. Empty: there is no route, which is a dead letter."""
    return (snapshot.home,)
