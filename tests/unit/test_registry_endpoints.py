"""Which addresses a backbone may be said to have (reliability.md, "Bad input": registry)."""

from ipaddress import ip_address

import pytest

from shared.domain.registry.endpoints import MAX_ENDPOINT, check_address, check_endpoint, check_host_port


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("nats://nats.eu.example:4223", "nats://nats.eu.example:4223"),
        ("nats://nats", "nats://nats:4222"),
        ("tls://10.0.0.7", "tls://10.0.0.7:4222"),
        ("nats://[fd00::1]:4222", "nats://[fd00::1]:4222"),
        ("nats://a:1,nats://b", "nats://a:1,nats://b:4222"),
        ("nats://n1.main.svc.cluster.local", "nats://n1.main.svc.cluster.local:4222"),
    ],
)
def test_endpoint_is_kept_with_its_port_when_it_may_be_one(said: str, kept: str) -> None:
    assert check_endpoint(said, local=False) == kept


LOOPBACK = (*("127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST", "a.localhost", "localhost.localdomain", "ip6-localhost"),)
DECEIVING = (
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "127.1", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "1.2.3", "a.0x1", "a.1"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::7f00:1]"),
)
NOWHERE = (
    *("169.254.169.254", "[fe80::1]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "100.100.100.200", "metadata.google.internal"),
    *("0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "240.0.0.1"),  # noqa: S104  # refused
)


@pytest.mark.parametrize("host", [*LOOPBACK, *DECEIVING, *NOWHERE])
def test_host_is_refused_when_it_leads_back_or_nowhere(host: str) -> None:
    with pytest.raises(ValueError, match=r"address|host|localhost"):
        check_endpoint(f"nats://{host}:4222", local=False)
    with pytest.raises(ValueError, match=r"address|host"):
        check_host_port(f"{host}:4222", local=False)


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_taken_when_the_provider_is_local(host: str) -> None:
    assert check_endpoint(f"nats://{host}:4222", local=True)


@pytest.mark.parametrize("host", [*DECEIVING, *NOWHERE])
def test_only_loopback_is_taken_besides_when_the_provider_is_local(host: str) -> None:
    with pytest.raises(ValueError, match=r"address|host"):
        check_endpoint(f"nats://{host}:4222", local=True)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "nats",
            "nats:",
            "nats://",
            "nats:///x",
            "nats://:4222",
            "//h:4222",
            "h:4222",
            "http://h",
            "file:///etc/passwd",
            "gopher://h",
            "ws://h",
            "wss://h:443",
        ),
        *("nats://me:geheim@h", "nats://token@h", "nats://h@", "nats://h/x", "nats://h?", "nats://h?a=b", "nats://h#", "nats://h:4222/"),
        *("nats://h:0", "nats://h:65536", "nats://h:-1", "nats://h:x", "nats://h:١", "nats://h.", "nats://.h", "nats://a..b", "nats://-h"),
        *(
            "nats://h_h",
            "nats://ｌocalhost",
            "nats://h\n",
            "nats://h\t",
            "nats://h\x00",
            "nats://a b",
            "nats://[::1",
            "nats://[h]",
            "nats://{{h}}",
        ),
        *("nats://a,", ",nats://a", "nats://a,b", ",".join(["nats://a"] * 9), "nats://" + "a" * MAX_ENDPOINT, "nats://" + "a" * 64),
    ],
)
def test_text_is_refused_when_it_is_no_endpoint_and_is_never_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        check_endpoint(text, local=True)
    assert "geheim" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_address_that_a_name_resolves_to_is_held_to_the_same_when_it_is_looked_up() -> None:
    check_address(ip_address("10.1.2.3"), local=False)
    for bad in ("127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"):
        with pytest.raises(ValueError, match="address"):
            check_address(ip_address(bad), local=False)
