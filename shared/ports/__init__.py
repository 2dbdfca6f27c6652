"""What a handler may ask of the world. Each port has a behavioural suite in tests/conformance/, run on every adapter."""

from typing import TYPE_CHECKING

from shared.lean_import import names_of

if TYPE_CHECKING:
    from shared.ports.backbones import Backbones, Streams
    from shared.ports.config import ConfigDocuments, ConfigSource, ConfigStore, SnapshotKeeper
    from shared.ports.credentials import Credentials, Trusts
    from shared.ports.deploying import Accounts, BackboneStreams, Leases, Provider
    from shared.ports.feed import FeedReader, FeedWriter
    from shared.ports.log import LogQueue, LogReader, Publish, ReceivedLog, RelayLog, RelayWatch
    from shared.ports.receipts import Receipts
    from shared.ports.registry import Registry
    from shared.ports.store import FirstCopies, Known, MessageStore
    from shared.ports.submit_lists import SubmitLists

__all__ = [
    "Accounts",
    "BackboneStreams",
    "Backbones",
    "ConfigDocuments",
    "ConfigSource",
    "ConfigStore",
    "Credentials",
    "FeedReader",
    "FeedWriter",
    "FirstCopies",
    "Known",
    "Leases",
    "LogQueue",
    "LogReader",
    "MessageStore",
    "Provider",
    "Publish",
    "Receipts",
    "ReceivedLog",
    "Registry",
    "RelayLog",
    "RelayWatch",
    "SnapshotKeeper",
    "Streams",
    "SubmitLists",
    "Trusts",
]

# Each is imported by who wants it: a door knows nothing of the registry, or of what reconciles.
__getattr__ = names_of(
    __name__,
    {
        "backbones": ("Backbones", "Streams"),
        "config": ("ConfigDocuments", "ConfigSource", "ConfigStore", "SnapshotKeeper"),
        "credentials": ("Credentials", "Trusts"),
        "deploying": ("Accounts", "BackboneStreams", "Leases", "Provider"),
        "feed": ("FeedReader", "FeedWriter"),
        "log": ("LogQueue", "LogReader", "Publish", "ReceivedLog", "RelayLog", "RelayWatch"),
        "receipts": ("Receipts",),
        "registry": ("Registry",),
        "store": ("FirstCopies", "Known", "MessageStore"),
        "submit_lists": ("SubmitLists",),
    },
)
