"""Telling a backbone's servers of an account's new token: over their own account, and to all of a cluster at once."""

import asyncio

import msgspec
from nats.errors import Error

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.endpoint import Endpoint, address_of
from shared.adapters.nats.signing_in import options_of
from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach

UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
WITHIN = 3.0  # seconds for one server: connecting, and its answer
OK = 200


class _Outcome(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    data: _Outcome = msgspec.field(default_factory=_Outcome)
    error: _Outcome | None = None


class NatsAccounts:
    """Accounts on NATS. A connection is kept for the next time: a revocation is not to wait for one."""

    def __init__(self, name: str = "reconcile-backbones") -> None:
        self._name = name
        self._connections: dict[str, tuple[str, Connection]] = {}  # with the endpoint

    async def stop(self) -> None:
        """Disconnect from all."""
        await asyncio.gather(*map(self.let_go, list(self._connections)))

    async def let_go(self, id: str) -> None:
        known = self._connections.pop(id, None)
        if known is not None:
            await known[1].close()

    def is_connected(self, reach: Reach) -> bool:
        known = self._connections.get(reach.id)
        return known is not None and known[0] == reach.endpoint and known[1].live

    async def connect(self, reach: Reach, login: Login) -> str:
        await self.let_go(reach.id)
        try:
            self._connections[reach.id] = reach.endpoint, await self._connected(reach, login)
        except (OSError, TimeoutError, Error, ValueError) as error:
            return str(error) or "it does not answer"
        return ""

    async def tell(self, id: str, token: str) -> str:
        known = self._connections.get(id)
        if known is None:
            return "it is not connected to"
        try:
            answer = msgspec.json.decode((await known[1].request(UPDATE, token.encode(), timeout=WITHIN)).data, type=_Answer)
        except (OSError, TimeoutError, Error, ValueError, msgspec.DecodeError, RecursionError) as error:
            await self.let_go(id)
            return str(error) or "it does not answer"
        if answer.error is not None or answer.data.code != OK:
            said = answer.error or answer.data
            return f"it says {said.code} {said.description[:300]}".rstrip()
        return ""

    async def _connected(self, reach: Reach, login: Login) -> Connection:
        """A connection to the endpoint as it is now. Raises OSError, TimeoutError, ValueError or nats.errors.Error."""
        endpoint = Endpoint(reach.endpoint, reach.domain, reach.here)
        problem: Exception = OSError("it has no server")
        for server in endpoint.servers:
            connection = Connection()
            try:
                async with asyncio.timeout(WITHIN):
                    url, hostname = await address_of(server, endpoint)
                    options = options_of(login) | ({"tls_hostname": hostname} if url.startswith("tls:") else {})
                    await connection.open([url], self._name, once=True, **options)
            except (OSError, TimeoutError, Error) as error:
                await connection.close()
                problem = error
                continue
            except BaseException:  # broken off, or a server that isn't one
                await connection.close()
                raise
            return connection
        raise problem
