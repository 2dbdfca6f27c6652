"""Where Redis is and who we are there, by its URL, with the parameters that redis-py has: `redis://`, `rediss://` and `unix://`."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from shared.adapters.redis.resp import Command, Connection
from shared.domain.errors import Misconfigured

if TYPE_CHECKING:
    from ssl import SSLContext

PORT = 6379
TLS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname")
NO = frozenset(("0", "f", "false", "n", "no"))


class Address(msgspec.Struct, frozen=True):
    """A server, or with `path` its socket. `tls`: the parameters of a `rediss://` URL; None where the connection is plain."""

    host: str
    port: int
    path: str
    username: str
    password: str
    database: int
    tls: dict[str, str] | None


def address_of(url: str) -> Address:
    """Raises Misconfigured for what isn't known, or can't be read: a parameter passed over could be the one that matters."""
    try:
        parts = urlsplit(url)
        said = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else ())
        path, tls = unquote(parts.path), parts.scheme == "rediss"
        local = parts.scheme == "unix"
        database = int(said.pop("db", "") or ("" if local else path.strip("/")) or 0)
        port = parts.port or PORT
    except ValueError as error:
        raise Misconfigured(f"the URL of Redis can't be read: {error}") from None
    unknown = [name for name in said if not (tls and name in TLS)]
    if parts.scheme not in ("redis", "rediss", "unix") or unknown:
        what = f"the parameter {unknown[0]!r}" if unknown else f"the scheme {parts.scheme!r}"
        raise Misconfigured(f"the URL of Redis has {what}, which is not known here; there are `db`, and for rediss {', '.join(TLS)}")
    host = unquote(parts.hostname or "localhost")
    return Address(
        host, port, path if local else "", unquote(parts.username or ""), unquote(parts.password or ""), database, said if tls else None
    )


async def connect(address: Address, name: str) -> Connection:
    """A connection, authenticated and on its database; `name` is what the server calls it. Raises OSError, Refused, Misconfigured."""
    loop = asyncio.get_running_loop()
    if address.path:
        _, connection = await loop.create_unix_connection(Connection, address.path)
    else:
        tls = None if address.tls is None else context_of(address.tls)
        _, connection = await loop.create_connection(Connection, address.host, address.port, ssl=tls)
    try:
        await connection.granted(*_greeting(address, name))
    except BaseException:
        connection.close()
        raise
    return connection


def _greeting(address: Address, name: str) -> list[Command]:
    commands: list[Command] = []
    if address.username:
        commands.append(("AUTH", address.username, address.password))
    elif address.password:
        commands.append(("AUTH", address.password))
    commands.append(("CLIENT", "SETNAME", name))
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


def context_of(said: dict[str, str]) -> "SSLContext":
    """How the server is checked, and by which certificate we are known."""
    import ssl

    levels = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    level = said.get("ssl_cert_reqs", "required")
    if level not in levels:
        raise Misconfigured(f"the URL of Redis has ssl_cert_reqs={level!r}; there are {', '.join(levels)}")
    context = ssl.create_default_context()
    context.check_hostname = level != "none" and said.get("ssl_check_hostname", "yes").lower() not in NO
    context.verify_mode = levels[level]
    try:
        if "ssl_ca_certs" in said or "ssl_ca_path" in said:
            context.load_verify_locations(said.get("ssl_ca_certs"), said.get("ssl_ca_path"))
        if "ssl_certfile" in said:
            context.load_cert_chain(said["ssl_certfile"], said.get("ssl_keyfile"), said.get("ssl_password", ""))
    except OSError as error:
        raise Misconfigured(f"the certificates that the URL of Redis names can't be read: {error.strerror or error}") from error
    return context
