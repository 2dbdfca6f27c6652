"""Typed settings from SWITCHBOARD_* variables (contracts.md, "Settings"). All have a default: locally none is needed."""

import difflib
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.domain.errors import Misconfigured

PREFIX = "SWITCHBOARD_"
OTHER_NAMES = {"port": ("PORT", "SWITCHBOARD_PORT"), "sink": ("K_SINK",)}  # field -> its variables, the strongest first
COMMAND_LINE = {"SWITCHBOARD_URL", "SWITCHBOARD_KEY"}  # read by infra/cli/connection.py
SHORTEST_KEY = 32  # bytes

log = logging.getLogger(__name__)


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)  # ValueError: pydantic reports it
        if parts.scheme not in schemes or not (parts.hostname or parts.path):
            raise ValueError(f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _cluster(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", value):
        raise ValueError("must be a name of a-z, 0-9 and -, of at most 40 characters")
    return value


RedisUrl = Annotated[str, _url("redis", "rediss", "unix")]
NatsUrl = Annotated[str, _url("nats", "tls", "ws", "wss")]
DatabaseUrl = Annotated[str, _url("postgresql", "postgres")]
HttpUrl = Annotated[str, _url("http", "https")]
Secret = Field(default=None, repr=False)  # a URL with a password in it stays out of logs


class Settings(BaseModel):
    """What a process is told from outside. An unset server URL is None here: `switchboard up` fills it in for its processes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    redis_url: RedisUrl | None = Secret
    nats_url: NatsUrl | None = Secret
    database_url: DatabaseUrl | None = Secret
    redis_door_url: RedisUrl | None = Secret

    cluster: Annotated[str, AfterValidator(_cluster)] = "local"
    state_dir: Path = Path(".switchboard")
    bind: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)  # 0: any free one
    secret_file: Path | None = None
    webhook_origins: str = ""  # who may deliver CloudEvents WebHooks to the events path: origins with commas between, `*` for any

    log_shards: int = Field(default=1, ge=1, le=1024)
    log_bytes: int = Field(default=1024**3, ge=1024**2)  # bytes a shard
    log_durability: Literal["fsync", "memory"] = "fsync"

    # Where the other stages and the hub are, when they aren't in this process.
    check_url: HttpUrl | None = None
    route_url: HttpUrl | None = None
    log_batch_url: HttpUrl | None = None
    hub_url: HttpUrl | None = None
    sink: HttpUrl | None = None

    fronts: int = Field(default=1, ge=1, le=64)  # front processes of `switchboard up`
    front_fd: int | None = Field(default=None, ge=0)  # the listening socket that `switchboard up` hands to them

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the variables in `env` (default: the process's own). An empty one counts as unset; an unknown one is warned of.

        Raises Misconfigured, which names the variable and never its value.
        """
        env = os.environ if env is None else env
        chosen = {field: name for field in cls.model_fields if (name := _set_variable(field, env))}
        _warn_of_unknown(env, {name for field in cls.model_fields for name in _variables(field)})
        try:
            settings = cls.model_validate({field: env[name] for field, name in chosen.items()})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise Misconfigured(f"{chosen[str(first['loc'][0])]}: {first['msg'].removeprefix('Value error, ')}") from None
        for field, instead in NOT_BUILT.items():
            if field in chosen:
                raise Misconfigured(f"{chosen[field]}: not built yet, unset it: {instead}")
        return settings

    def required(self, field: str) -> str:
        """The value of an optional setting that this process can't do without. Raises Misconfigured when it isn't set."""
        value = getattr(self, field)
        if value is None:
            raise Misconfigured(f"{_variables(field)[0]} is not set")
        return str(value)

    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys for proofs, cursors and sessions: the first signs, all verify. Raises Misconfigured when there is none."""
        path = Path(self.required("secret_file"))
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise Misconfigured(f"SWITCHBOARD_SECRET_FILE: {path} can't be read: {error.strerror}") from error
        keys = tuple(key for line in lines if (key := line.strip()))
        if not keys or min(map(len, keys)) < SHORTEST_KEY:
            raise Misconfigured(f"SWITCHBOARD_SECRET_FILE: {path} must hold keys of at least {SHORTEST_KEY} characters, one a line")
        return keys


# Settings of the contract whose other side isn't built: to take one and do nothing would mislead whoever set it.
NOT_BUILT = {
    "check_url": "check-constraints runs in the door",
    "route_url": "route runs in the door",
    "log_batch_url": "the logger writes to the store itself",
    "hub_url": "hub and edge are one cluster",
    "redis_door_url": "there is no Redis door",
    "sink": "there are no event sources",
}


def _variables(field: str) -> tuple[str, ...]:
    return OTHER_NAMES.get(field, (PREFIX + field.upper(),))


def _set_variable(field: str, env: Mapping[str, str]) -> str | None:
    return next((name for name in _variables(field) if env.get(name)), None)


def _warn_of_unknown(env: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known | COMMAND_LINE:
            near = difflib.get_close_matches(name, known, n=1)
            log.warning("%s is not a setting%s", name, f": did you mean {near[0]}?" if near else "")
