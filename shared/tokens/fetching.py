"""Fetching a JWK Set: over HTTPS with a verified certificate, from the very URL that config has, in bounded time and size."""

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.domain.errors import Malformed, Unavailable
from shared.tokens.key_set import MAX_SET

if TYPE_CHECKING:
    import httpx

SECONDS = 5.0  # for all of it
LONGEST = 2_000  # characters of a URL
# Not compressed: a bound on what comes is then one on what it holds.
ASKED = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}


def check_url(url: str) -> str:
    """The URL itself. Raises Malformed unless it is https, or http to a loopback address written as one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Malformed("not a URL") from None
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > LONGEST or not host:
        raise Malformed("not a URL")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Malformed("a URL without credentials and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise Malformed("must be https; http only to a loopback address, like http://127.0.0.1:8080/jwks")
    return url


def _is_loopback(host: str) -> bool:
    import ipaddress  # here: a start does not wait for it (performance.md, P8)

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch(url: str) -> bytes:
    """What is at the URL. Raises Unavailable where it isn't to be had, Malformed where the URL is none to ask.

    A redirect is not followed: it would lead where config doesn't say. Certificates are those of the system, or SSL_CERT_FILE.
    """
    import httpx

    loopback = urlsplit(check_url(url)).scheme == "http"
    try:
        async with asyncio.timeout(SECONDS):
            context: ssl.SSLContext | bool = True if loopback else await asyncio.to_thread(httpx.create_ssl_context)
            client = httpx.AsyncClient(verify=context, timeout=SECONDS, follow_redirects=False, trust_env=not loopback)
            async with client, client.stream("GET", url, headers=ASKED) as response:
                if response.status_code != httpx.codes.OK:
                    raise Unavailable(f"the answer is {response.status_code}")
                return await _body(response)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}".rstrip(": ")) from None


async def _body(response: "httpx.Response") -> bytes:
    if (coding := response.headers.get("content-encoding", "identity")) != "identity":
        raise Unavailable(f"the answer is compressed ({coding[:20]}), though it was asked not to be")
    body = b""
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_SET:
            raise Unavailable(f"the answer is over {MAX_SET} bytes")
    return body
