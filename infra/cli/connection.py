"""Which Switchboard the command line talks to, and as whom.

`SWITCHBOARD_URL` and `SWITCHBOARD_KEY` say it; else the endpoints.json that `switchboard up` wrote, looked for in
`SWITCHBOARD_STATE_DIR`, in `.switchboard` from the current folder upward, and in `~/.local/state/switchboard`.
`SWITCHBOARD_KEY` alone means: the local one, with another key.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from shared.domain import errors
from shared.stages.tls import trusted

ENDPOINTS = "endpoints.json"
# Seconds. An answer may take as long as a function may that Knative starts for it; a connection isn't waited for so long.
PATIENCE = httpx.Timeout(60.0, connect=10.0)
NOTHING_FOUND = "no Switchboard runs here: start one with `switchboard up`, or set SWITCHBOARD_URL and SWITCHBOARD_KEY"

KINDS: dict[int, type[errors.SwitchboardError]] = {
    400: errors.Malformed,
    415: errors.Malformed,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    412: errors.Conflict,
    413: errors.TooLarge,
    422: errors.NotProcessable,
    429: errors.Overloaded,
    503: errors.Unavailable,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, e.g. `http://127.0.0.1:8080`, and the API key to show there."""

    url: str
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What authenticates a request, or a WebSocket's opening handshake."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def websocket_url(self) -> str:
        """The same address for WebSockets: `ws://...` or `wss://...`."""
        return "ws" + self.url.removeprefix("http")

    def client(self, timeout: float | httpx.Timeout = PATIENCE) -> httpx.Client:
        """A client with the address and the key in it. `timeout` in seconds."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=timeout, verify=trusted(self.url))

    def async_client(self, timeout: float | httpx.Timeout = PATIENCE) -> httpx.AsyncClient:
        """The same for asyncio."""
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=timeout, verify=trusted(self.url))


def connect(env: Mapping[str, str] | None = None, start: Path | None = None) -> Connection:
    """Find the Switchboard to talk to, from the environment `env` and the folder `start` (default: the process's own).

    Raises Misconfigured, saying what to do, when there is none.
    """
    env = os.environ if env is None else env
    url, key = env.get("SWITCHBOARD_URL", "").strip(), env.get("SWITCHBOARD_KEY", "").strip()
    if key:
        _check_key(key, "SWITCHBOARD_KEY")
    if url and not key:
        raise errors.Misconfigured("SWITCHBOARD_URL is set, and SWITCHBOARD_KEY isn't: set it to an API key")
    if url and key:
        return Connection(_checked_url(url, "SWITCHBOARD_URL"), key)
    endpoints = read_endpoints(env, start)
    return Connection(_checked_url(endpoints["http"], ENDPOINTS), key or read_key(Path(endpoints["admin_key_file"])))


def read_endpoints(env: Mapping[str, str], start: Path | None = None) -> dict[str, str]:
    """The endpoints.json of a running `switchboard up`: `http`, `redis`, `nats`, `database`, `admin_key_file`.

    Raises Misconfigured when none runs.
    """
    stopped: Path | None = None
    for directory in _state_directories(env, start or Path.cwd()):
        try:
            content = json.loads((directory / ENDPOINTS).read_text())
        except OSError:
            if stopped is None and directory.is_dir():
                stopped = directory
            continue
        except ValueError as error:
            raise errors.Misconfigured(f"{directory / ENDPOINTS} is not JSON: start `switchboard up` again") from error
        return {name: value for name, value in content.items() if isinstance(value, str)}
    if stopped is not None:
        raise errors.Misconfigured(f"the Switchboard of {stopped} isn't running: start it with `switchboard up`")
    raise errors.Misconfigured(NOTHING_FOUND)


def _state_directories(env: Mapping[str, str], start: Path) -> Iterator[Path]:
    if configured := env.get("SWITCHBOARD_STATE_DIR"):
        yield Path(configured)
    for folder in (start, *start.parents):
        yield folder / ".switchboard"
    yield Path(env.get("HOME") or Path.home()) / ".local" / "state" / "switchboard"


def read_key(path: Path) -> str:
    """The API key in a file. Raises Misconfigured naming the file."""
    try:
        return _check_key(path.read_text(encoding="utf-8").strip(), f"the key file {path}")
    except OSError as error:
        raise errors.Misconfigured(f"the key file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.Misconfigured(f"the key file {path} holds no API key") from error


def _check_key(key: str, place: str) -> str:
    """The key itself. A header takes printable ASCII only; whatever else it is, it is never shown."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise errors.Misconfigured(f"{place} holds no API key: one has letters, digits and signs of ASCII, and no white space in it")
    return key


def _checked_url(url: str, place: str) -> str:
    try:
        parts = httpx.URL(url)
        usable = parts.scheme in ("http", "https") and bool(parts.host) and not (parts.userinfo or parts.query or parts.fragment)
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise errors.Misconfigured(f"{place} must be an address like http://127.0.0.1:8080")
    return url.rstrip("/")


def checked(response: httpx.Response) -> httpx.Response:
    """The response when it is a success; else raises the error that its status and problem+json (RFC 9457) say."""
    if response.status_code < 400:
        return response
    kind = KINDS.get(response.status_code, errors.SwitchboardError)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        raise kind(f"{response.url} answered {response.status_code} {response.reason_phrase}", status=response.status_code)
    faults = [errors.Fault(str(item.get("pointer", "")), str(item.get("detail", ""))) for item in problem.get("errors") or ()]
    detail = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    raise kind(detail, rule=problem.get("rule"), faults=faults, status=response.status_code)
