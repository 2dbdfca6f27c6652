"""Two fronts and a logger of one install: for tests of what is in force in running processes."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from shared.adapters.postgres import PostgresConfigStore
from shared.domain.principal import Grant, Principal
from tests.integration.fronts import FrontProcess, environment, fronting
from tests.integration.services import Service, serving
from tests.waiting import eventually_now

EVENT = {"ce-specversion": "1.0", "ce-source": "/live", "content-type": "application/json"}
PATIENCE = 60.0  # seconds for what comes in one where the machine has the time


@dataclass
class Install:
    """Two fronts with a secret file each; `root` is a system admin's key."""

    fronts: tuple[FrontProcess, FrontProcess]
    secrets: tuple[Path, Path]
    root: str

    def org(self) -> tuple[str, str]:
        """A new org and its admin's key, once every process knows it."""
        name = f"t-{uuid4().hex[:10]}"
        made = self.ask(self.root, f"/v1/config/orgs/{name}", "PUT").json()["admin"]["key"]
        self.known(made)
        return name, made

    def principal(self, admin: str, name: str, *grants: dict[str, Any]) -> tuple[str, str]:
        """The id and the key of a new principal, once every process knows it."""
        assert self.ask(admin, f"/v1/config/principals/{name}", "PUT", json={"grants": list(grants)}).is_success
        made = self.ask(admin, f"/v1/config/principals/{name}/keys", "POST").json()
        self.known(made["key"])
        return made["id"], made["key"]

    def known(self, key: str) -> None:
        """Wait until both fronts take the key."""

        def taken() -> bool:
            return all(self.send(key, "known", at=front).status_code != 401 for front in self.fronts)

        eventually_now(taken, within=PATIENCE)

    def ask(self, key: str, path: str, method: str = "GET", at: FrontProcess | None = None, **request: Any) -> httpx.Response:
        """What a front, the first unless another is given, answers to who has the key."""
        headers = {"authorization": f"Bearer {key}", **request.pop("headers", {})}
        return (at or self.fronts[0]).client.request(method, path, headers=headers, **request)

    def send(self, key: str, id: str, type: str = "t", data: object = None, at: FrontProcess | None = None) -> httpx.Response:
        """The answer to an event."""
        content = json.dumps({} if data is None else data)
        return self.ask(key, "/v1/events", "POST", at, headers={**EVENT, "ce-id": id, "ce-type": type}, content=content)

    def put(self, key: str, path: str, document: dict[str, Any]) -> None:
        """Write a document, and wait until both fronts judge by it."""
        answer = self.ask(key, f"/v1/config/{path}", "PUT", json=document)
        assert answer.status_code in (200, 201), answer.text
        self.in_force(key, int(answer.headers["etag"].strip('"')))

    def in_force(self, key: str, revision: int) -> None:
        """Wait until both fronts judge by the revision."""

        def judged() -> bool:
            answers = [self.send(key, uuid4().hex, "other", at=front).json() for front in self.fronts]
            return all(answer["config_revision"] >= revision for answer in answers)

        eventually_now(judged, within=PATIENCE)

    def stored(self, key: str, id: str, rest: str = "") -> Any:
        """What is told of a message, once the store has it."""

        def found() -> Any:
            answer = self.ask(key, f"/v1/messages/{id}{rest}")
            return answer.json() if answer.status_code == 200 else None

        return eventually_now(found, within=PATIENCE)


@contextmanager
def installed(directories: tuple[Path, Path], redis: str, nats: str, database: str) -> Iterator[Install]:
    """The processes, for the time of the block."""
    root = asyncio.run(root_key(database))
    with ExitStack() as stack:
        fronts, secrets = [], []
        for directory in directories:
            settings = environment(directory, redis, nats, database)
            fronts.append(stack.enter_context(fronting(directory, settings, "default", root)))
            secrets.append(Path(settings["SWITCHBOARD_SECRET_FILE"]))
        stack.enter_context(serving(Service("logger", settings, directories[1])))
        yield Install((fronts[0], fronts[1]), (secrets[0], secrets[1]), root)


async def root_key(database: str) -> str:
    """A new key of a system admin."""
    config = PostgresConfigStore(database)
    try:
        await config.put_principal(Principal("root", "default", (Grant("admin"),), system=True), "test")
        return (await config.create_key("default", "root", "test"))[1]
    finally:
        await config.stop()
