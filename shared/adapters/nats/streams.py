"""The stream of an org on a backbone: what it must look like, and making it so (contracts.md, "On the backbone")."""

import logging

import msgspec

from shared.adapters.nats.asking import asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.replies import ApiError, Lost, Moment, Name

MAX_AGE = 7 * 24 * 3600  # seconds
MAX_BYTES = 256 * 1024 * 1024  # reserved by the server: the sum over all orgs must fit its max_file_store
DUPLICATE_WINDOW = 180  # seconds: longer than the log's recent window of 120 s
NOT_FOUND = 10059  # nats-server, errors.json: JSStreamNotFoundErr
NAME_TAKEN = 10058  # JSStreamNameExistErr

_log = logging.getLogger(__name__)


class Stream(msgspec.Struct, frozen=True):
    """A stream that is there. `created` is its creation time as the server tells it (RFC 3339); `domain` its JetStream domain."""

    name: str
    created: str
    domain: str


class StreamAnswer(msgspec.Struct):
    """What JetStream answers to a call about a stream."""

    created: Moment = ""
    domain: Name = ""
    config: dict[str, object] = {}  # msgspec copies it
    error: ApiError | None = None


def stream_name(org: str) -> str:
    """`sb-<org>`."""
    return f"sb-{org}"


def wanted(org: str, max_bytes: int) -> dict[str, object]:
    """What we set of the stream's configuration, in the server's own names and units (nanoseconds). The rest is the operator's."""
    return {
        "name": stream_name(org),
        "subjects": [f"sb.{org}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": MAX_AGE * 1_000_000_000,
        "max_bytes": max_bytes,
        "duplicate_window": DUPLICATE_WINDOW * 1_000_000_000,
        "allow_atomic": True,
        "allow_direct": True,
    }


async def ensure(connection: Connection, org: str, max_bytes: int, deadline: float, change: bool = True) -> Stream:
    """The org's stream, made where it is missing and, with `change`, changed where it differs; `deadline` is loop time.

    Raises Lost where there is none in the end.
    """
    return await ensure_as(connection, wanted(org, max_bytes), deadline, change)


async def ensure_as(connection: Connection, ours: dict[str, object], deadline: float, change: bool = True) -> Stream:
    """A stream that is as `ours` says, in the server's own names and units; the same otherwise."""
    name = str(ours["name"])
    answer = await ask_stream(connection, f"STREAM.INFO.{name}", {}, deadline)
    if answer.error is not None and answer.error.err_code == NOT_FOUND:
        answer = await ask_stream(connection, f"STREAM.CREATE.{name}", ours, deadline)
        if answer.error is not None and answer.error.err_code == NAME_TAKEN:  # by another of us, meanwhile
            answer = await ask_stream(connection, f"STREAM.INFO.{name}", {}, deadline)
    elif change and answer.error is None and any(answer.config.get(key) != value for key, value in ours.items()):
        if answer.config.get("retention", ours["retention"]) != ours["retention"]:  # it can't be changed
            raise Lost(f"stream {name} is another's: it takes {answer.config.get('subjects')}")
        changed = await ask_stream(connection, f"STREAM.UPDATE.{name}", answer.config | ours, deadline)
        if changed.error is not None:  # it can be published to all the same
            _log.warning("stream %s differs from what it should be, and can't be changed: %s", name, changed.error.description)
    if answer.error is not None:
        raise Lost(f"no stream {name}: {answer.error.description}")
    return Stream(name, answer.created, answer.domain or connection.domain)


async def ask_stream(connection: Connection, method: str, body: dict[str, object], deadline: float) -> StreamAnswer:
    """What it answers to a call about a stream. Raises Lost."""
    return await asked(connection, method, body, StreamAnswer, deadline)
