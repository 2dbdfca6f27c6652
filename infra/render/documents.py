"""What the gateway answers itself, as `switchboard up` does: /openapi.json of all functions, and the page that shows it."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from infra.local.front import build
from shared.edge.asgi import ASGIApp, Event
from shared.resources import Resources
from shared.routes import FUNCTIONS
from shared.secret import SHORTEST_KEY
from shared.settings import Settings

FILES = {"/openapi.json": "openapi.json", "/docs": "docs.html"}


class Document(NamedTuple):
    """A file beside the gateway's configuration."""

    file: str
    text: str
    media_type: str


def documents(functions: Sequence[str] = FUNCTIONS) -> dict[str, Document]:
    """By path, of these functions. The front is built for it, on servers that nobody connects to: building is all that its documents
    need."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "keys"
        secret.write_text("k" * SHORTEST_KEY)
        servers = {"REDIS": "redis://localhost", "NATS": "nats://localhost", "DATABASE": "postgresql://localhost/none"}
        env = {f"SWITCHBOARD_{name}_URL": url for name, url in servers.items()} | {"SWITCHBOARD_SECRET_FILE": str(secret)}
        return asyncio.run(_served(Resources(Settings.from_env(env | {"SWITCHBOARD_STATE_DIR": folder})), functions))


async def _served(resources: Resources, functions: Sequence[str]) -> dict[str, Document]:
    front = build(resources, functions)
    return {path: await _document(front, path, file) for path, file in FILES.items()}


async def _document(front: ASGIApp, path: str, file: str) -> Document:
    """What the front answers to a GET of the path."""
    sent: list[Event] = []

    async def receive() -> Event:
        raise RuntimeError("a GET has no body")

    async def send(event: Event) -> None:
        sent.append(event)

    await front({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    media_type = dict(sent[0]["headers"])[b"content-type"].decode()
    return Document(file, b"".join(event.get("body", b"") for event in sent).decode(), media_type)
