"""The hub over HTTP, for an edge's processes: config snapshots by long poll, and what its store knows of what was logged here."""

from shared.adapters.hub.calls import HubCalls
from shared.adapters.hub.config import HubConfig
from shared.adapters.hub.known import HubKnown

__all__ = ["HubCalls", "HubConfig", "HubKnown"]
