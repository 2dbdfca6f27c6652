"""Certificates of a private authority, and a server that ends TLS before another, as a load balancer does."""

import asyncio
import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def authority(folder: Path, host: str) -> tuple[Path, Path]:
    """The certificate of a new authority, and one of its for the host, key and all."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ours, theirs = _name("authority"), _name(host)
    signed = _certificate(ours, ours, root.public_key(), ca=True).sign(root, hashes.SHA256())
    named = x509.SubjectAlternativeName([x509.DNSName(host)])
    of_host = _certificate(theirs, ours, leaf.public_key(), ca=False).add_extension(named, critical=False).sign(root, hashes.SHA256())
    trusted, pem = folder / "authority.pem", folder / "host.pem"
    trusted.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret = leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + of_host.public_bytes(serialization.Encoding.PEM))
    return trusted, pem


@contextmanager
def terminating(port: int, pem: Path) -> Iterator[int]:
    """The port of a TLS server with that certificate, in front of another on loopback, for the time of the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tls")
    thread.start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            behind, before = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait([asyncio.create_task(_copy(reader, before)), asyncio.create_task(_copy(behind, writer))])

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until either side ends."""
    try:
        with suppress(OSError):
            while read := await source.read(65536):
                sink.write(read)
                await sink.drain()
    finally:
        sink.close()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    return made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
