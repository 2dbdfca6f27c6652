"""Where a backbone of the registry is, and with which credentials. What its name resolves to is checked each time, and that very address
is connected to: a name may resolve to something else a moment later."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.adapters.nats.signing_in import options_of
from shared.domain.registry.endpoints import check_address
from shared.domain.registry.login import read_login
from shared.domain.registry.reach import Reach

LARGEST = 4096  # bytes of a credentials file

# Threads of their own: a name whose servers never answer holds one for half a minute, and the loop's few look up the database's name, too.
_LOOKUPS = ThreadPoolExecutor(16, "backbone-names")

log = logging.getLogger(__name__)


class Endpoint(NamedTuple):
    """`url` may name several servers, separated by commas. `domain` is the JetStream domain they must have, empty for any; `here`: they may
    be on loopback. `credentials` are `user:password`, a token, or the text of a credentials file."""

    url: str
    domain: str = ""
    here: bool = False
    credentials: str = ""

    @property
    def servers(self) -> list[str]:
        """Each server's URL."""
        return self.url.split(",")

    @property
    def options(self) -> dict[str, Any]:
        """The credentials as nats-py takes them."""
        if self.credentials.startswith(("-", "#")):
            return options_of(read_login(self.credentials))
        user, found, password = self.credentials.partition(":")
        if found:
            return {"user": user, "password": password}
        return {"token": user} if user else {}

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


def endpoints_of(backbones: Iterable[Reach], folder: Path | None, known: Callable[[Reach], str] | None = None) -> dict[str, Endpoint]:
    """The endpoints of the backbones that have one, by id. `folder` has a file of credentials for each that somebody gave some, named by
    its id; of others `known` says them."""

    def credentials(one: Reach) -> str:
        given = "" if folder is None else _credentials(folder / one.id)
        return given or ("" if known is None else known(one))

    return {one.id: Endpoint(one.endpoint, one.domain, one.here, credentials(one)) for one in backbones if one.endpoint}


async def address_of(server: str, endpoint: Endpoint) -> tuple[str, str]:
    """A server's URL with the address in the place of its name, and the name, which its certificate must have.

    Raises OSError where it doesn't resolve, or to an address that no backbone may be at.
    """
    parts = urlsplit(server)
    name, port = parts.hostname or "", parts.port
    addresses = await _addresses(name, port)
    for address in addresses:
        try:
            check_address(address, local=endpoint.here)
        except ValueError as error:
            raise OSError(f"{name} resolves to {address}: {error}") from None
    first = addresses[0]
    return f"{parts.scheme}://{f'[{first}]' if isinstance(first, IPv6Address) else first}:{port}", name


async def _addresses(name: str, port: int | None) -> list[IPv4Address | IPv6Address]:
    with suppress(ValueError):
        return [ip_address(name)]
    lookup = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, lookup)
    return [ip_address(str(one[4][0]).partition("%")[0]) for one in found]


def _credentials(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST).strip()
        if text.startswith(("-", "#")):
            read_login(text)
        return text
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:  # a file that isn't text is a ValueError, too
        log.warning("the credentials of backbone %s can't be read: %s", path.name, getattr(error, "strerror", "neither text nor a login"))
        return ""
