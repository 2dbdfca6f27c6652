"""Connections to an API server that somebody else named: to the addresses that were checked, of answers that end, and never elsewhere.

Imported where it is needed, as failures.py is.
"""

import socket
import time
from io import BytesIO
from ipaddress import ip_address
from typing import Any

from urllib3 import HTTPResponse, HTTPSConnectionPool, PoolManager, Retry
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from shared.domain.registry.endpoints import check_address

LARGEST = 16 * 1024 * 1024  # bytes of an answer: a list of pods has some 10 KB for each
ANSWERED_WITHIN = 15.0  # seconds until all of an answer is there
CHUNK = 64 * 1024
MEANT_FOR_THE_WAY = ("content-encoding", "transfer-encoding", "content-length")


class _Checked(HTTPSConnection):
    """What its name resolves to is checked, and that very address connected to: it may resolve to something else a moment later."""

    here = False  # whether it may be on loopback

    def _new_conn(self) -> socket.socket:
        host, port = self.host.strip("[]"), int(self.port or 443)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, self, socket.gaierror(str(error))) from error
        addresses = list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))
        for address in addresses:
            try:
                check_address(ip_address(address), local=self.here)
            except ValueError as error:
                raise NewConnectionError(self, f"{host} resolves to {address}: {error}") from None
        try:
            return create_connection((addresses[0], port), self.timeout, socket_options=self.socket_options)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "it does not answer") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _Here(_Checked):
    here = True


class _CheckedPool(HTTPSConnectionPool):
    ConnectionCls = _Checked


class _HerePool(HTTPSConnectionPool):
    ConnectionCls = _Here


class ApiServer(PoolManager):
    """The connections to one API server. `here`: it may be on loopback. `options` are urllib3's, for TLS."""

    def __init__(self, *, here: bool, **options: Any) -> None:
        super().__init__(num_pools=1, maxsize=1, retries=Retry(0), **options)
        self.pool_classes_by_scheme = {"https": _HerePool if here else _CheckedPool}

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> HTTPResponse:  # type: ignore[override]
        """The whole answer. A redirection is none: what it leads to, nobody has checked. Raises urllib3's HTTPError."""
        until = time.monotonic() + ANSWERED_WITHIN
        response = super().urlopen(method, url, redirect=False, **(kw | {"preload_content": False}))
        try:
            body = bytearray()
            while chunk := response.read1(CHUNK):
                body += chunk
                if len(body) > LARGEST or time.monotonic() > until:
                    raise HTTPError("its answer has no end")
        finally:
            response.close()
        headers = {name: value for name, value in response.headers.items() if name.lower() not in MEANT_FOR_THE_WAY}
        return HTTPResponse(BytesIO(bytes(body)), headers, response.status, reason=response.reason, request_method=method)
