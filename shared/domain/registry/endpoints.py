"""Which addresses a backbone may be said to have: none that leads back into the machine, or to what hands out credentials.

What an endpoint says is checked when it is declared; what its name resolves to, each time it is connected to (check_address).
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("nats", "tls")
MAX_SERVERS = 8  # of one deployment, with commas between
MAX_ENDPOINT = 1024  # characters
PORT = 4222  # where none is said

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LIKE_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")
_METADATA_NAMES = ("metadata.google.internal", "metadata.goog", "instance-data")
_METADATA = (IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254"))  # clouds' metadata beyond 169.254.0.0/16
_CARRIES_IPV4 = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


def check_endpoint(text: str, *, local: bool) -> str:
    """The endpoint, with each server's port said. `local`: of a cluster on this machine, which may be on loopback.

    Raises ValueError, whose text says what is wrong with it and never quotes it: it may hold a password.
    """
    if not text or len(text) > MAX_ENDPOINT or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"an endpoint is a URL of at most {MAX_ENDPOINT} printable ASCII characters: nats://host:4222")
    servers = text.split(",")
    if len(servers) > MAX_SERVERS:
        raise ValueError(f"at most {MAX_SERVERS} servers of one deployment")
    return ",".join(_checked(server, local) for server in servers)


def check_host_port(text: str, *, local: bool) -> str:
    """The same for `host:port`. Raises ValueError."""
    check_endpoint(f"nats://{text}", local=local)
    return text


def _checked(server: str, local: bool) -> str:
    try:
        parts = urlsplit(server)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL like nats://host:4222") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"starts with {', '.join(f'{scheme}://' for scheme in SCHEMES[:-1])} or {SCHEMES[-1]}://")
    if "@" in parts.netloc:
        raise ValueError("no user or password in it: credentials are kept apart")
    if parts.path or parts.query or parts.fragment or not parts.hostname or "?" in server or "#" in server:
        raise ValueError("scheme, host and port, and nothing else: nats://host:4222")
    if port == 0:
        raise ValueError("the port is 1 to 65535")
    _check_host(parts, local)
    return f"{parts.scheme}://{f'[{parts.hostname}]' if ':' in parts.hostname else parts.hostname}:{port or PORT}"


def _check_host(parts: SplitResult, local: bool) -> None:
    host = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        try:
            check_address(IPv6Address(host), local=local)
        except AddressValueError:
            raise ValueError("the address in brackets is no IPv6 address") from None
    elif _LIKE_A_NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            check_address(IPv4Address(host), local=local)
        except AddressValueError:
            raise ValueError("an IPv4 address is four decimal numbers with dots between, as in 10.0.0.7") from None
    else:
        _check_name(host, local)


def _check_name(host: str, local: bool) -> None:
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError("the host is a name of letters, digits, '-' and dots, or an address")
    if not local and (host in _LOOPBACK_NAMES or host.endswith(".localhost")):
        raise ValueError("the host is this machine itself: only clusters with the provider local may be there")
    if host in _METADATA_NAMES:
        raise ValueError("the host is a cloud's metadata service")


def check_address(address: IPv4Address | IPv6Address, *, local: bool) -> None:
    """Raise ValueError for an address that no backbone is at. Private ones are allowed: that is where most are."""
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError("an address with a zone is link-local")
    if int(address) > 1 and isinstance(address, IPv6Address) and any(address in network for network in _CARRIES_IPV4):
        raise ValueError("the address has an IPv4 address inside: say that one")
    if address.is_loopback:
        if not local:
            raise ValueError("the address is loopback: only clusters with the provider local may be there")
        return
    if address.is_link_local or address in _METADATA:
        raise ValueError("the address is link-local, or a cloud's metadata service")
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        raise ValueError("the address is unspecified, multicast or reserved: no server is there")
