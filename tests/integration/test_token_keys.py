"""Issuers' keys from a real server: fetched in the background, not too often, and the last good ones stay."""

import asyncio
import datetime
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from shared.domain.errors import Malformed, Unavailable
from shared.domain.token_issuer import Issuer
from shared.tokens.fetching import check_url, fetch
from shared.tokens.key_set import MAX_SET
from shared.tokens.key_sources import KeySources
from shared.tokens.verifying import Refused
from tests.tokens import AUDIENCE, ISSUER, KeyServer, jwk, key_set, private_key
from tests.waiting import eventually


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(jwk("k1")).running() as running:
        yield running


@pytest.fixture
async def sources() -> AsyncIterator[KeySources]:
    made = KeySources(pause=0.3, fresh=3_600)
    yield made
    await made.close()


def issuer(url: str) -> Issuer:
    return Issuer("idp", ISSUER, (AUDIENCE,), ("ES256",), jwks_url=url, org="acme")


def known(sources: KeySources, url: str, kid: str = "k1") -> bool:
    """Whether the key is there; False while that isn't known."""
    try:
        return sources.keys_of(issuer(url), kid).key(kid, "ES256") is not None
    except Unavailable as error:
        return error.retry_after_ms is None  # it says when to come again


async def test_keys_are_fetched_once_when_many_ask(server: KeyServer, sources: KeySources) -> None:
    assert not any(known(sources, server.url) for _ in range(100))
    await eventually(lambda: known(sources, server.url))
    assert server.asked == 1


async def test_keys_are_there_before_anybody_asks_when_config_names_their_issuer(server: KeyServer, sources: KeySources) -> None:
    sources.keep([issuer(server.url)])
    await eventually(lambda: sources.generation)
    assert known(sources, server.url)


async def test_new_key_is_taken_within_a_pause_when_the_issuer_rotates(server: KeyServer, sources: KeySources) -> None:
    await eventually(lambda: known(sources, server.url))
    server.body = key_set(jwk("k1"), jwk("k2"))
    with pytest.raises(Refused):  # it was asked a moment ago
        known(sources, server.url, "k2")

    def taken() -> bool:
        try:
            return known(sources, server.url, "k2")
        except Refused:
            return False

    await eventually(taken)
    assert server.asked == 2


async def test_server_is_asked_no_more_than_once_a_pause_when_unknown_keys_are_named(server: KeyServer, sources: KeySources) -> None:
    await eventually(lambda: known(sources, server.url))
    loop = asyncio.get_running_loop()
    began, refused = loop.time(), 0
    number = 0
    while loop.time() - began < 1.0:
        number += 1
        try:
            known(sources, server.url, f"evil-{number}")
        except Refused:
            refused += 1
        await asyncio.sleep(0)
    assert refused > 100
    assert server.asked <= 1 + 1.0 / 0.3 + 1


@pytest.mark.parametrize("fault", ["status", "redirect", "nonsense", "huge", "secret", "gone", "compressed"])
async def test_last_good_keys_stay_when_the_server_fails(
    server: KeyServer, sources: KeySources, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    await eventually(lambda: known(sources, server.url))
    if fault == "status":
        server.status = 500
    elif fault == "redirect":
        server.status, server.headers = 302, {"location": server.url}
    elif fault == "nonsense":
        server.body = b"<html>"
    elif fault == "huge":
        server.body = b" " * (MAX_SET + 1)
    elif fault == "secret":
        server.body = key_set(jwk("k1"), {"kty": "oct", "k": "c2VjcmV0", "kid": "k2"})
    elif fault == "compressed":
        server.headers = {"content-encoding": "gzip"}
    elif fault == "gone":
        server.status, server.body = 404, b""

    def failed() -> int:
        try:
            known(sources, server.url, "k9")
        except Refused:
            return 0
        return sources.failures

    with caplog.at_level(logging.WARNING):
        await eventually(failed)
    assert "the last ones stay" in caplog.text
    assert known(sources, server.url)


async def test_nobody_is_believed_when_the_keys_were_never_to_be_had(sources: KeySources) -> None:
    with KeyServer().running() as server:
        url = server.url
    assert not known(sources, url)
    await eventually(lambda: sources.failures)
    assert not known(sources, url)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key."""
    key, name = private_key("tls"), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = tmp_path / "idp.pem"
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(text + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


async def test_certificate_is_verified_when_keys_come_by_https(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with KeyServer(jwk("k1")).running(context) as server:
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await fetch(server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await fetch(server.url) == server.body


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/jwks",
        "http://localhost/jwks",
        "ftp://127.0.0.1/",
        "https://",
        "https://u:p@idp.example/",
        "https://idp.example/#a",
        "https://idp.example/a b",
        "file:///etc/passwd",
        "http://2130706433/",
        "http://127.0.0.1.evil.example/",
        "https://idp.example:99999/",
        "//idp.example",
        "",
    ],
)
def test_url_is_refused_when_keys_from_it_could_be_anybodys(url: str) -> None:
    with pytest.raises(Malformed):
        check_url(url)
