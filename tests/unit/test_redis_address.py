"""The URL of Redis: what is read out of it, and what is refused rather than passed over."""

import ssl

import pytest

from shared.adapters.redis.address import Address, address_of, context_of
from shared.domain.errors import Misconfigured


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1:7000/3", Address("127.0.0.1", 7000, "", "", "", 3, None)),
        ("redis://", Address("localhost", 6379, "", "", "", 0, None)),
        ("redis://:p%40ss@[::1]/", Address("::1", 6379, "", "", "p@ss", 0, None)),
        ("redis://door:p@valkey/1?db=2", Address("valkey", 6379, "", "door", "p", 2, None)),
        ("rediss://valkey", Address("valkey", 6379, "", "", "", 0, {})),
        ("rediss://valkey?ssl_cert_reqs=none", Address("valkey", 6379, "", "", "", 0, {"ssl_cert_reqs": "none"})),
        ("unix:///run/valkey%20.sock?db=4", Address("localhost", 6379, "/run/valkey .sock", "", "", 4, None)),
    ],
)
def test_the_address_is_read_when_the_url_is_one_of_redis(url: str, address: Address) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://valkey?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://valkey?ssl_ciphers=x", "ssl_ciphers"),
        ("redis://valkey?socket_timeout=1", "socket_timeout"),
        ("redis://valkey/seven", "seven"),
        ("redis://valkey:port", "port"),
        ("http://valkey", "http"),
    ],
)
def test_it_is_misconfigured_when_the_url_says_what_is_not_known(url: str, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        address_of(url)


def test_the_server_is_checked_when_the_url_says_nothing_else() -> None:
    context = context_of({})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == ssl.create_default_context().get_ca_certs()


@pytest.mark.parametrize(
    ("said", "checked"),
    [
        ({"ssl_cert_reqs": "none"}, (ssl.CERT_NONE, False)),
        ({"ssl_cert_reqs": "required", "ssl_check_hostname": "False"}, (ssl.CERT_REQUIRED, False)),
        ({"ssl_check_hostname": "true"}, (ssl.CERT_REQUIRED, True)),
    ],
)
def test_it_is_checked_less_when_the_url_says_so(said: dict[str, str], checked: tuple[ssl.VerifyMode, bool]) -> None:
    context = context_of(said)
    assert (context.verify_mode, context.check_hostname) == checked


@pytest.mark.parametrize("said", [{"ssl_cert_reqs": "maybe"}, {"ssl_ca_certs": "/nowhere/ca.pem"}, {"ssl_certfile": "/nowhere/cert.pem"}])
def test_it_is_misconfigured_when_a_certificate_cannot_be_had(said: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        context_of(said)
