"""An issuer of tokens for tests: its keys, its tokens, and a server of its JWK Set on loopback."""

import gzip
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://idp.example/", "switchboard"


@cache
def private_key(kid: str, algorithm: str = "ES256") -> Any:
    """A private key, the same each time it is asked for."""
    if algorithm.startswith("ES"):
        return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if kid == "weak" else 2048)


def jwk(kid: str, algorithm: str = "ES256", **more: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    public = private_key(kid, algorithm).public_key()
    kinds: dict[str, Any] = {"E": ECAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}
    kind = OKPAlgorithm if algorithm == "EdDSA" else kinds[algorithm[0]]
    return {**json.loads(kind.to_jwk(public)), "kid": kid, **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """Claims of a good token; None leaves one out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "iat": now, "exp": now + 60, **more}
    return {name: value for name, value in said.items() if value is not None}


def token(kid: str = "k1", algorithm: str = "ES256", header: dict[str, Any] | None = None, key: Any = None, **said: Any) -> str:
    """A token signed with the private key of that id."""
    signing = private_key(kid, algorithm) if key is None else key
    return jwt.encode(claims(**said), signing, algorithm, headers={"kid": kid, **(header or {})})


class KeyServer:
    """A JWK Set on loopback: what it answers may be changed, and `asked` counts. It compresses where that is asked for, as many do."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.status, self.body, self.headers = 200, key_set(*keys), dict[str, str]()
        self.asked = 0
        self.url = ""

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator["KeyServer"]:
        """Serve it, with TLS where a context is given."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                body, headers = outer.body, outer.headers
                if "gzip" in self.headers.get("accept-encoding", ""):
                    body, headers = gzip.compress(body), {"content-encoding": "gzip", **headers}
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the test says what it saw."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}/jwks"
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
