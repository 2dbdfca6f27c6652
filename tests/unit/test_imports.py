"""What a start of ingest doesn't wait for: P8 of performance.md rests on it. In an interpreter of its own: here everything is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AT_START = "import functions.ingest.main"
AT_FIRST_EVENT = (
    f"{AT_START}, shared.adapters.redis.log_queue, shared.adapters.nats.backbones\n"
    "from shared.adapters.postgres.config_store import PostgresConfigStore\n"
    "from shared.tokens.principals import Tokens; Tokens()\n"
    "import uvicorn.lifespan.on, uvicorn.loops.uvloop"  # what the server imports once it starts
)
NEVER = {
    *("cloudevents", "fastapi", "flask", "functions_framework", "httpx", "pydantic", "prometheus_client", "rich", "starlette", "typer"),
    *("aiohttp", "jwt", "opentelemetry", "redis", "websockets", "yoyo"),
    *("click", "uvicorn.main", "uvicorn.supervisors"),  # uvicorn's command line
    *("logging.handlers", "multiprocessing", "socketserver"),  # its reloader, and the logging it configures
    *("http.cookies", "shutil", "tempfile", "zipfile", "_ctypes"),  # zipfile: importlib.metadata
    *("shared.adapters.postgres.message_store", "shared.adapters.postgres.registry", "shared.adapters.postgres.writer"),
    *("shared.domain.registry.deploying", "shared.ports.credentials", "shared.ports.deploying", "shared.ports.registry"),
}


def imported(code: str) -> set[str]:
    """The modules that a fresh interpreter has after that."""
    show = "import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "never"),
    [(AT_START, NEVER | {"hiredis", "nats", "psycopg"}), (AT_FIRST_EVENT, NEVER)],
    ids=["to import it", "to take an event"],
)
def test_ingest_starts_without_what_events_do_not_need_when_it_is_a_process(code: str, never: set[str]) -> None:
    found = imported(code)
    assert "uvicorn" in found
    assert found & never == set()


def test_the_framework_is_there_when_it_asks_for_the_function() -> None:
    asked = "import functions.ingest.main as main, inspect; assert inspect.iscoroutinefunction(main.ingest)"
    assert {"functions_framework", "starlette"} <= imported(asked)
