"""Typed settings from SWITCHBOARD_* variables (contracts.md, "Settings"). All have a default: locally none is needed.

A dataclass whose fields know how to read their variable, and no pydantic model: each process reads its settings before it does anything
else, and pydantic and one model of it took 90 ms of that (performance.md, P8).
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from shared.domain.errors import Misconfigured
from shared.secret import SecretKeys

PREFIX = "SWITCHBOARD_"
OTHER_NAMES = {  # field -> its variables, the strongest first
    "port": ("PORT", "SWITCHBOARD_PORT"),
    "sink": ("K_SINK",),
    "ce_overrides": ("K_CE_OVERRIDES",),
    "ca_certs": ("K_CA_CERTS",),
}
ELSEWHERE = {"SWITCHBOARD_URL", "SWITCHBOARD_KEY", "SWITCHBOARD_SPEEDUPS"}  # read by infra/cli/connection.py, and shared/speedups at import

log = logging.getLogger(__name__)

Read = Callable[[str], Any]  # a variable's text to the field's value; raises ValueError, whose text names no value


def _by(read: Read) -> dict[str, Read]:
    """The metadata of a field of Settings that is read so."""
    return {"read": read}


def _url(*schemes: str) -> Read:
    def read(text: str) -> str:
        try:
            parts = urlsplit(text)
        except ValueError:  # its text may quote a password
            raise ValueError("can't be read as a URL") from None
        if parts.scheme not in schemes or not (parts.hostname or parts.path):
            raise ValueError(f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text

    return read


def _whole(least: int, most: int | None = None) -> Read:
    def read(text: str) -> int:
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", text):
            raise ValueError("Input should be a valid integer, unable to parse string as an integer")
        value = int(text)
        if value < least:
            raise ValueError(f"Input should be greater than or equal to {least}")
        if most is not None and value > most:
            raise ValueError(f"Input should be less than or equal to {most}")
        return value

    return read


def _one_of(*values: str) -> Read:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"Input should be {' or '.join(map(repr, values))}")
        return text

    return read


def _cluster(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", text):
        raise ValueError("must be a name of a-z, 0-9 and -, of at most 40 characters")
    return text


REDIS, NATS = _by(_url("redis", "rediss", "unix")), _by(_url("nats", "tls", "ws", "wss"))
DATABASE, HTTP = _by(_url("postgresql", "postgres")), _by(_url("http", "https"))
TEXT, PATH = _by(str), _by(Path)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process is told from outside. An unset server URL is None here: `switchboard up` fills it in for its processes.

    What may hold a password stays out of repr(), and so out of logs.
    """

    redis_url: str | None = field(default=None, repr=False, metadata=REDIS)
    nats_url: str | None = field(default=None, repr=False, metadata=NATS)
    database_url: str | None = field(default=None, repr=False, metadata=DATABASE)
    redis_door_url: str | None = field(default=None, repr=False, metadata=REDIS)

    redis_door_bytes: int = field(default=256 * 1024**2, metadata=_by(_whole(64 * 1024)))  # bytes an org's submit list may hold

    cluster: str = field(default="local", metadata=_by(_cluster))
    state_dir: Path = field(default=Path(".switchboard"), metadata=PATH)
    bind: str = field(default="127.0.0.1", metadata=TEXT)
    port: int = field(default=8080, metadata=_by(_whole(0, 65535)))  # 0: any free one
    secret_file: Path | None = field(default=None, metadata=PATH)
    edge_keys: Path | None = field(default=None, metadata=PATH)  # a hub's: a folder with a file for each edge that has a key of its own
    backbone_credentials: Path | None = field(default=None, metadata=PATH)  # a folder: a file for each backbone of the registry, by id
    # Who may deliver CloudEvents WebHooks to the events path: origins with commas between, `*` for any.
    webhook_origins: str = field(default="", metadata=TEXT)
    # Whose pages may open a WebSocket here besides this host's own: origins with commas between.
    websocket_origins: str = field(default="", metadata=TEXT)

    log_shards: int = field(default=1, metadata=_by(_whole(1, 1024)))
    log_bytes: int = field(default=1024**3, metadata=_by(_whole(1024**2)))  # bytes a shard
    log_durability: Literal["fsync", "memory"] = field(default="fsync", metadata=_by(_one_of("fsync", "memory")))
    log_wait: int = field(default=5, metadata=_by(_whole(1, 60)))  # seconds for a flush to be on disk; then 503, outcome unknown

    # Where the other stages and the hub are, when they aren't in this process.
    check_url: str | None = field(default=None, metadata=HTTP)
    route_url: str | None = field(default=None, metadata=HTTP)
    log_batch_url: str | None = field(default=None, metadata=HTTP)
    hub_url: str | None = field(default=None, metadata=HTTP)
    # A source's sink, or ingest's Broker (which makes the wiring brokered), as Knative's SinkBinding tells it: its URL, extensions for its
    # events (JSON), certificates to trust (PEM).
    sink: str | None = field(default=None, metadata=HTTP)
    ce_overrides: str | None = field(default=None, metadata=TEXT)
    ca_certs: str | None = field(default=None, metadata=TEXT)

    fronts: int = field(default=1, metadata=_by(_whole(1, 64)))  # front processes of `switchboard up`
    front_fd: int | None = field(default=None, metadata=_by(_whole(0)))  # the listening socket that `switchboard up` hands to them

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the variables in `env` (default: the process's own). An empty one counts as unset; an unknown one is warned of.

        Raises Misconfigured, which names the variable and never its value.
        """
        env = os.environ if env is None else env
        readers: dict[str, Read] = {known.name: known.metadata["read"] for known in fields(cls)}
        chosen = {setting: name for setting in readers if (name := _set_variable(setting, env))}
        _warn_of_unknown(env, {name for setting in readers for name in _variables(setting)})
        values = {}
        for setting, name in chosen.items():
            try:
                values[setting] = readers[setting](env[name])
            except ValueError as error:
                raise Misconfigured(f"{name}: {error}") from None
        return cls(**values)

    def required(self, field: str) -> str:
        """The value of an optional setting that this process can't do without. Raises Misconfigured when it isn't set."""
        value = getattr(self, field)
        if value is None:
            raise Misconfigured(f"{_variables(field)[0]} is not set")
        return str(value)

    def secret_keys(self) -> SecretKeys:
        """The keys for proofs, cursors and sessions, as the file has them now; the same ones to all who ask, so that a file that is no good
        any more is nobody's. Raises Misconfigured when there is none."""
        return self._secret

    @cached_property
    def _secret(self) -> SecretKeys:
        return SecretKeys(Path(self.required("secret_file")))


def _variables(field: str) -> tuple[str, ...]:
    return OTHER_NAMES.get(field, (PREFIX + field.upper(),))


def _set_variable(field: str, env: Mapping[str, str]) -> str | None:
    return next((name for name in _variables(field) if env.get(name)), None)


def _warn_of_unknown(env: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known | ELSEWHERE:
            import difflib  # not at every start

            near = difflib.get_close_matches(name, known, n=1)
            log.warning("%s is not a setting%s", name, f": did you mean {near[0]}?" if near else "")
