"""Whom a call over HTTPS trusts: the certificates of SSL_CERT_FILE, as OpenSSL itself reads it, else those that httpx brings."""

import os
import ssl


def trusted(url: str) -> ssl.SSLContext | bool:
    """What httpx calls `verify`. Nothing is loaded for plain HTTP: the certificates take 20 ms of a start.

    Raises Misconfigured where SSL_CERT_FILE can't be read.
    """
    if not url.startswith("https://"):
        return False
    from shared.domain.errors import Misconfigured

    file = os.environ.get("SSL_CERT_FILE")
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise Misconfigured(f"SSL_CERT_FILE: {file} can't be read: {error.strerror or error}") from error
