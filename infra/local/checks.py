"""The checks of `switchboard doctor`: of the machine, and of the servers and processes that run."""

import asyncio
import importlib
import importlib.metadata
import os
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import httpx

from infra.local.state import is_free
from shared import speedups
from shared.adapters.hub import HubCalls
from shared.adapters.hub.config import PATH
from shared.adapters.nats.connection import Connection
from shared.adapters.postgres.facts import timescaledb_version
from shared.adapters.postgres.migrations import pending
from shared.adapters.redis.door_settings import check_door
from shared.adapters.redis.link import Link
from shared.built import is_current
from shared.domain.errors import SwitchboardError
from shared.settings import Settings

OLDEST_PYTHON = (3, 11)
GIB = 1024**3
LOW_DISK, LITTLE_DISK = 1 * GIB, 5 * GIB  # bytes: fails, warns
CLOCK_SKEW = 5.0  # seconds
DEADLINE = 5.0  # seconds a check may take
QUOTE = '"'  # around an entity tag

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: the settings, and the URLs (`http`, `redis`, `nats`, `database`) of what runs; none when nothing does."""

    settings: Settings
    urls: Mapping[str, str]


Check = Callable[[Subject], Awaitable[Finding]]


async def python(subject: Subject) -> Finding:
    """Version 3.11 or newer."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("failed", version, "install Python 3.11 or newer, remove .venv, run `make setup`")
    return Finding("ok", version)


async def dependencies(subject: Subject) -> Finding:
    """Every direct dependency is installed."""
    try:
        required = importlib.metadata.requires("switchboard") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding("failed", "switchboard itself is not installed", "run `make setup`")
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    missing = [name for name in names if not _installed(name)]
    if missing:
        return Finding("failed", f"missing: {', '.join(missing)}", "run `make setup`")
    return Finding("ok", f"{len(names)} packages")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


async def compiled(subject: Subject) -> Finding:
    """What is in C is compiled, of the source that is here, and in use."""
    if speedups.core is not None:
        return Finding("ok", "shared/speedups")
    alone = "Python alone, at about two thirds of the speed"
    if os.environ.get("SWITCHBOARD_SPEEDUPS") == "off":
        return Finding("warning", f"off: {alone}", "unset SWITCHBOARD_SPEEDUPS")
    if not is_current():
        return Finding("warning", f"not there: {alone}", "install a C compiler and Python's headers, run `make setup`")
    try:
        importlib.import_module("shared.speedups._core")
    except ImportError as error:
        return Finding("warning", f"{error}: {alone}", "that Python can't load it: use another, remove .venv, run `make setup`")
    return Finding("warning", f"not in use: {alone}", "start this again")


async def disk(subject: Subject) -> Finding:
    """Space where the state is, or will be."""
    place = subject.settings.state_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:.1f} GiB free at {place}"
    if free < LOW_DISK:
        return Finding("failed", found, "free some space: with a full disk every message is answered 503")
    return Finding("warning", found, "the log and the streams grow: free some space") if free < LITTLE_DISK else Finding("ok", found)


async def port(subject: Subject) -> Finding:
    """The HTTP port is ours, or free for us."""
    if "http" in subject.urls:
        return Finding("ok", subject.urls["http"])
    number = subject.settings.port
    if number and not is_free(number):
        return Finding("failed", f"{number} is taken by another program", "choose another: `switchboard up --port N`")
    return Finding("ok", f"{number} is free")


async def front(subject: Subject) -> Finding:
    """The front answers, and what it misses."""
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            answer = await client.get(subject.urls["http"] + "/readyz")
        except httpx.TransportError as error:
            return Finding("failed", f"no answer: {error}", "look into logs/front.log in the state directory")
    degraded = answer.json().get("degraded") if "json" in answer.headers.get("content-type", "") else None
    if answer.status_code != 200:
        return Finding("failed", f"/readyz answers {answer.status_code}", "look into logs/front.log in the state directory")
    return Finding("warning", f"without {', '.join(degraded)}", "see the lines of these servers") if degraded else Finding("ok", "ready")


async def log_durability(subject: Subject) -> Finding:
    """The log's Redis has every write on disk before it answers."""
    if subject.settings.log_durability == "memory":
        return Finding("warning", "memory", "unset SWITCHBOARD_LOG_DURABILITY: acknowledged messages can be lost")
    link = Link(subject.urls["redis"], durability="fsync")
    try:
        await link.connect()
    finally:
        await link.close()
    return Finding("ok", "appendonly yes, appendfsync always")


async def redis_door(subject: Subject) -> Finding:
    """The Redis of the submit lists, where it isn't the log's, keeps what is pushed to it."""
    said = await check_door(subject.settings.required("redis_door_url"))
    if said is None:
        return Finding("ok", "noeviction, appendonly yes, appendfsync always")
    return Finding("warning", said, "set it as the log's Redis is, or have clients send again what has no receipt")


async def clock(subject: Subject) -> Finding:
    """This machine's clock agrees with the log's Redis."""
    link = Link(subject.urls["redis"])
    try:
        seconds, microseconds = await link.one("TIME")
    finally:
        await link.close()
    skew = abs(time.time() - int(seconds) - int(microseconds) / 1e6)
    found = f"{skew:.3f} s from Redis"
    return Finding("ok", found) if skew <= CLOCK_SKEW else Finding("failed", found, "synchronise both clocks (chrony, systemd-timesyncd)")


async def jetstream(subject: Subject) -> Finding:
    """The home backbone has JetStream."""
    connection = Connection()
    try:
        await connection.open([subject.urls["nats"]], "switchboard doctor")
        account = await connection.jetstream().account_info()
        return Finding("ok", f"domain {connection.domain or '(none)'}, {account.streams} streams")
    except Exception as error:  # nats-py raises its own kinds, and only an adapter may know them
        return Finding("failed", f"{type(error).__name__}: {error}", "enable JetStream on that server, or unset SWITCHBOARD_NATS_URL")
    finally:
        await connection.close()


async def timescaledb(subject: Subject) -> Finding:
    """The store has TimescaleDB."""
    version = await asyncio.to_thread(timescaledb_version, subject.urls["database"])
    if version is None:
        return Finding("warning", "plain PostgreSQL", "time-series features are off: use a Debian machine, or a database with TimescaleDB")
    return Finding("ok", version)


async def migrations(subject: Subject) -> Finding:
    """The store's schema is the newest."""
    missing = await asyncio.to_thread(pending, subject.urls["database"])
    return Finding("failed", f"missing: {', '.join(missing)}", "start `switchboard up` again") if missing else Finding("ok", "up to date")


async def hub(subject: Subject) -> Finding:
    """The hub of this edge answers, and takes it for a process of the install."""
    calls = HubCalls(subject.settings.required("hub_url"), subject.settings.secret_keys())
    try:
        answer = await calls.get(PATH, DEADLINE)
    finally:
        await calls.stop()
    if answer.status_code == 200:
        return Finding("ok", f"{subject.settings.hub_url}, config revision {answer.headers.get('etag', '?').strip(QUOTE)}")
    remedy = "give this edge its hub's secret, and synchronise both clocks" if answer.status_code == 401 else "is that a hub's gateway?"
    return Finding("failed", f"{subject.settings.hub_url} answers {answer.status_code} to {PATH}", remedy)


# name, check, the server it needs
CHECKS: tuple[tuple[str, Check, str | None], ...] = (
    ("Python", python, None),
    ("dependencies", dependencies, None),
    ("compiled module", compiled, None),
    ("disk", disk, None),
    ("port", port, None),
    ("front", front, "http"),
    ("log durability", log_durability, "redis"),
    ("clock", clock, "redis"),
    ("JetStream", jetstream, "nats"),
    ("TimescaleDB", timescaledb, "database"),
    ("migrations", migrations, "database"),
)
OF_A_DOOR: tuple[tuple[str, Check, str | None], ...] = (("Redis door", redis_door, None),)
OF_AN_EDGE: tuple[tuple[str, Check, str | None], ...] = (("hub", hub, None),)


async def examine(subject: Subject) -> list[tuple[str, Finding]]:
    """Every check, at once; one that can't be made is a finding, not an error."""
    settings = subject.settings
    checks = (*CHECKS, *(OF_A_DOOR if settings.redis_door_url else ()), *(OF_AN_EDGE if settings.hub_url else ()))
    findings = await asyncio.gather(*(_one(check, needs, subject) for _, check, needs in checks))
    return [(name, finding) for (name, _, _), finding in zip(checks, findings, strict=True)]


async def _one(check: Check, needs: str | None, subject: Subject) -> Finding:
    if needs is not None and needs not in subject.urls:
        return Finding("skipped", "not running", "start it with `switchboard up`")
    try:
        async with asyncio.timeout(DEADLINE):
            return await check(subject)
    except SwitchboardError as error:
        return Finding("failed", error.detail, "correct that, or look into logs/ in the state directory")
    except TimeoutError:
        return Finding("failed", f"no answer within {DEADLINE:.0f} s", f"is the server at the `{needs}` URL reachable?")
