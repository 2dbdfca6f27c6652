"""How soon a change of a backbone is in force where one reconciler has 200 of them, and what it costs to look after those: `switchboard up`
with as many nats-servers of the provider `local`, on loopback, which end with it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.bench.figure import Figure
from tests.product import product

COUNT = 200
NEEDED = 40 * 1024**2  # bytes of memory for one of them, and to spare: a server takes 20 MB, its connections the rest
STARTED_WITHIN = 600.0  # seconds, for all of them
RESTING = 20.0  # seconds
PAYLOADS = ("3MB", "5MB")  # neither is the chart's own, which would change nothing
ASKED_EVERY = 0.2  # seconds: whoever asks all the time is what is measured


async def two_hundred(state: Path, runs: int = 5) -> Figure:
    """Seconds from a PUT's answer until the registry says that the change is in force and the servers are up with it. Raises RuntimeError
    where this machine has no room for that many servers."""
    available = psutil.virtual_memory().available
    if available < COUNT * NEEDED:
        raise RuntimeError(f"{COUNT} backbones want {COUNT * NEEDED >> 20} MB of memory, and {available >> 20} MB are available")
    with product(state) as endpoints, _client(endpoints) as client:
        began = time.monotonic()
        ids = _declared(client, COUNT)
        _until(lambda: all(map(_in_force, _all(client))), STARTED_WITHIN)
        started = time.monotonic() - began
        resting = [_cpu(endpoints["processes"]["reconcile"]) for _ in range(runs)]
        logger = [_cpu(endpoints["processes"]["logger"])]
        took = [_changed(client, ids[place * 7 % COUNT], PAYLOADS[place % 2]) for place in range(runs)]
    notes = {"cores_at_rest": resting, "cores_of_logger_at_rest": logger, "s_to_start_all": [started]}
    return Figure("reconciler", f"s until a change is in force, one of {COUNT}", took, gate=5.0, notes=notes, below=True)


def _client(endpoints: dict[str, Any]) -> httpx.Client:
    return httpx.Client(base_url=endpoints["http"], headers={"authorization": f"Bearer {endpoints['key']}"}, timeout=60)


def _declared(client: httpx.Client, count: int) -> list[str]:
    """The ids of so many new shared backbones of this machine."""
    client.put("/v1/clusters/here", json={"provider": "local", "org": None}).raise_for_status()
    body = {"org": None, "cluster": "here", "scope": "local", "spec": {"jetstream": {"size": "64Mi"}}}
    return [str(client.post("/v1/backbones", json=body | {"name": f"n{n}"}).raise_for_status().json()["id"]) for n in range(count)]


def _all(client: httpx.Client) -> list[dict[str, Any]]:
    answer = client.get("/v1/backbones", params={"limit": 1000}).raise_for_status().json()
    return list(answer["items"])


def _in_force(backbone: dict[str, Any]) -> bool:
    status = backbone["status"]
    up = any((one["type"], one["status"]) == ("Ready", "True") for one in status["conditions"])
    return up and bool(status["observed_generation"] == backbone["generation"]) and backbone["endpoint"] is not None


def _changed(client: httpx.Client, id: str, payload: str) -> float:
    """Another payload limit: the server is rolled for it."""
    before = client.get(f"/v1/backbones/{id}").raise_for_status().json()
    spec = before["spec"] | {"values": {"limits": {"maxPayload": payload}}}
    client.put(f"/v1/backbones/{id}", json=before | {"spec": spec}).raise_for_status()
    began = time.monotonic()
    _until(lambda: _in_force(client.get(f"/v1/backbones/{id}").raise_for_status().json()), 120)
    return time.monotonic() - began


def _until(holds: Callable[[], bool], within: float) -> None:
    """Raises TimeoutError."""
    limit = time.monotonic() + within
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(ASKED_EVERY)


def _cpu(pid: int) -> float:
    """How much of a core a process takes, without the servers that it has started."""
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(RESTING / 5)
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system) / (time.monotonic() - began)
