"""API servers that somebody else named, and that do as they like: what is asked of them goes nowhere else, ends, and holds up nobody."""

import base64
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.adapters.helm.backbones import HelmBackbones
from shared.adapters.kubernetes import connections
from shared.adapters.kubernetes.access import Clusters
from shared.adapters.kubernetes.asking import Asking, answer_of
from shared.adapters.kubernetes.kubeconfig import Kubeconfig
from shared.adapters.kubernetes.objects import Objects
from shared.domain.registry.deploying import Deployment, Undeployed
from shared.domain.registry.shapes import Access, Cluster, Spec
from tests.waiting import eventually

NAME = "api.example"
WITHIN = 30.0
Answer = Callable[[BaseHTTPRequestHandler], None]


def cluster(name: str) -> Cluster:
    return Cluster(name, "acme", "", "helm", Access(kubeconfig_secret=f"acme.{name}"), {})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for 127.0.0.1 and NAME that vouches for itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(NAME)]
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = tmp_path_factory.mktemp("tls") / "tls.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + private)
    return file


class Server:
    """An API server that answers as it is told."""

    def __init__(self, certificate: Path) -> None:
        self.answer: Answer = said(404, {"message": "not found"})
        self.asked = 0
        self._ca = base64.b64encode(certificate.read_bytes()).decode()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def access(self, host: str = "127.0.0.1", *, here: bool = True) -> Kubeconfig:
        where = {"server": f"https://{host}:{self.port}", "certificate-authority-data": self._ca}
        return Kubeconfig(where, {"token": "s3cret"}, here)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def said(status: int, body: Any, **headers: str) -> Answer:
    """An answer."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(sent)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(sent)

    return answer


@pytest.fixture
def server(certificate: Path) -> Iterator[Server]:
    server = Server(certificate)
    yield server
    server.close()


def pods(server: Server, host: str = "127.0.0.1", *, here: bool = True) -> list[dict[str, Any]]:
    return answer_of("it", server.access(host, here=here), "switchboard", lambda objects: objects.pods("main-0badcafe"))


def refusal(server: Server, host: str = "127.0.0.1", *, here: bool = True) -> tuple[str, str]:
    with pytest.raises(Undeployed) as refused:
        pods(server, host, here=here)
    assert "s3cret" not in refused.value.message
    return refused.value.reason, refused.value.message


def test_redirection_is_not_followed_when_an_api_server_sends_one(server: Server, certificate: Path) -> None:
    other = Server(certificate)
    try:
        for status in (301, 302, 307, 308):
            server.answer = said(status, b"", Location=f"https://127.0.0.1:{other.port}/latest/meta-data/")
            assert refusal(server)[0] == "ClusterRefused"
        assert (server.asked, other.asked) == (4, 0)
    finally:
        other.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"items": 7}', b"\xff"])
def test_it_is_said_when_an_answer_is_none_of_an_api_servers(server: Server, body: bytes) -> None:
    server.answer = said(200, body)
    assert refusal(server)[0] == "ClusterRefused"


def test_credentials_are_left_out_when_an_api_server_says_them_back(server: Server) -> None:
    server.answer = said(403, {"message": "no pods for s3cret"})
    assert refusal(server) == ("ClusterRefused", "it refuses: 403 no pods for ***")


@pytest.mark.parametrize("status", [200, 500])
def test_answer_is_broken_off_when_it_has_no_end(server: Server, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b" " * 65536)
        except OSError:
            pass  # it hung up

    monkeypatch.setattr(connections, "LARGEST", 1024 * 1024)
    server.answer = endless
    assert "its answer has no end" in refusal(server)[1]


def test_name_is_refused_when_it_resolves_to_what_no_cluster_is_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.7", "127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (one, 0)) for one in found])
    assert "resolves to 127.0.0.1" in refusal(server, NAME, here=False)[1]
    found = ["::ffff:169.254.169.254"]
    assert "IPv4 address inside" in refusal(server, NAME, here=False)[1]
    assert server.asked == 0


def test_address_that_was_checked_is_connected_to_when_the_name_resolves_differently_twice(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, first = socket.getaddrinfo, ["127.0.0.1"]

    def resolved(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve(first.pop() if host == NAME else host, *rest, **more)  # a second time there is none left

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    server.answer = said(200, {"items": []})
    assert pods(server, NAME) == []


async def test_other_clusters_answer_when_one_is_never_done(server: Server, certificate: Path) -> None:
    other, done = Server(certificate), threading.Event()
    other.answer = said(200, {"items": []})

    def stuck(request: BaseHTTPRequestHandler) -> None:
        done.wait(WITHIN)
        said(200, {"items": []})(request)

    server.answer = stuck
    asking = Asking(lambda: "switchboard")

    async def ask(name: str, whom: Server) -> None:
        assert await asking.ask(cluster(name), whom.access(), _no_pods)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ask, "dead", server)
            await eventually(lambda: server.asked, within=WITHIN)
            with anyio.fail_after(WITHIN):
                await ask("live", other)
            assert server.asked <= 4
            done.set()
    finally:
        done.set()
        other.close()


def _no_pods(objects: Objects) -> bool:
    return objects.pods("main-0badcafe") == []


async def test_it_says_so_when_there_is_no_helm(server: Server, tmp_path: Path) -> None:
    provider = HelmBackbones(Clusters(lambda wanted: server.access()), lambda: "switchboard", tmp_path, str(tmp_path / "none"))
    with pytest.raises(Undeployed) as refused:
        await provider.ensure(Deployment("main-0badcafe", cluster("eu"), Spec(), {"replicas": 1}))
    assert refused.value.reason == "NoHelm"
