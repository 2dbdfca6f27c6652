"""What is taken of a kubeconfig, and what is refused by name (reliability.md, "registry")."""

import base64
from typing import Any

import pytest
import yaml

from shared.adapters.aws.secrets import reason_of
from shared.adapters.helm.backbones import digest_of
from shared.adapters.helm.live import differs, parts_of
from shared.adapters.kubernetes.kubeconfig import Kubeconfig, read_kubeconfig, without_secrets
from shared.domain.registry.deploying import Undeployed

CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()


def kubeconfig(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any) -> str:
    server = {"server": "https://10.0.0.7:6443", "certificate-authority-data": CA}
    text: str = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}, {"name": "b", "context": {}}],
            "clusters": [{"name": "c", "cluster": server if cluster is None else cluster}],
            "users": [{"name": "u", "user": {"token": "s3cret"} if user is None else user}],
            **more,
        }
    )
    return text


def test_what_is_needed_is_taken_and_nothing_else_when_it_is_a_good_one() -> None:
    found = read_kubeconfig(kubeconfig({"server": "https://api.example", "insecure-skip-tls-verify": False, "extensions": [1]}))
    assert found == Kubeconfig({"server": "https://api.example"}, {"token": "s3cret"})
    assert read_kubeconfig(yaml.safe_dump(found.content())) == found
    assert found.secrets() == ["s3cret"]


CLUSTER = {"server": "https://10.0.0.7:6443"}
REFUSED: list[tuple[str, str, str]] = [
    ("a program", kubeconfig(user={"exec": {"command": "sh", "args": ["-c", "id"]}}), "user.exec"),
    ("an auth provider", kubeconfig(user={"auth-provider": {"name": "gcp"}}), "user.auth-provider"),
    ("a token's file", kubeconfig(user={"tokenFile": "/etc/shadow"}), "user.tokenFile"),
    ("a certificate's file", kubeconfig(user={"client-certificate": "/x", "client-key-data": CA}), "user.client-certificate"),
    ("a key's file", kubeconfig(user={"client-key": "../x"}), "user.client-key"),
    ("a CA's file", kubeconfig(CLUSTER | {"certificate-authority": "/x"}), "cluster.certificate-authority"),
    ("a proxy", kubeconfig(CLUSTER | {"proxy-url": "http://evil:1"}), "cluster.proxy-url"),
    ("no TLS check", kubeconfig(CLUSTER | {"insecure-skip-tls-verify": True}), "cluster.insecure-skip-tls-verify"),
    ("no TLS check, as text", kubeconfig(CLUSTER | {"insecure-skip-tls-verify": "true"}), "cluster.insecure-skip-tls-verify"),
    ("no TLS", kubeconfig({"server": "http://10.0.0.7"}), "cluster.server"),
    ("another user in the URL", kubeconfig({"server": "https://a:b@10.0.0.7"}), "cluster.server"),
    ("metadata", kubeconfig({"server": "https://169.254.169.254"}), "cluster.server"),
    ("loopback", kubeconfig({"server": "https://127.0.0.1:6443"}), "cluster.server"),
    ("IPv4 inside IPv6", kubeconfig({"server": "https://[::ffff:7f00:1]:6443"}), "cluster.server"),
    ("a decimal address", kubeconfig({"server": "https://2130706433:6443"}), "cluster.server"),
    ("a short address", kubeconfig({"server": "https://127.1"}), "cluster.server"),
    ("this machine by name", kubeconfig({"server": "https://LOCALHOST"}), "cluster.server"),
    ("metadata by name", kubeconfig({"server": "https://metadata.google.internal"}), "cluster.server"),
    ("a port that is none", kubeconfig({"server": "https://10.0.0.7:99999"}), "cluster.server"),
    ("impersonation", kubeconfig(user={"token": "x", "as": "root"}), "user.as"),
    ("a password", kubeconfig(user={"username": "a"}), "user.username"),
    ("nobody", kubeconfig(user={}), "user"),
    ("a token that is no text", kubeconfig(user={"token": 7}), "user.token"),
    ("a certificate that is no base64", kubeconfig(user={"client-certificate-data": "%%"}), "client-certificate-data"),
    ("no context", kubeconfig().replace("current-context: a", "current-context: z"), "contexts"),
    (
        "two of one name",
        kubeconfig(clusters=[{"name": "c", "cluster": CLUSTER}, {"name": "c", "cluster": {"server": "https://b"}}]),
        "clusters",
    ),
    ("anchors", "a: &a [x]\nb: *a\n", "anchors"),
    ("no YAML", "{", "YAML"),
    ("a list", "[]", "object"),
    ("too long", "x" * 70_000, "64 KiB"),
]


@pytest.mark.parametrize(("text", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_it_is_refused_by_name_when_it_could_do_more_than_sign_in(text: str, named: str) -> None:
    with pytest.raises(Undeployed) as refused:
        read_kubeconfig(text)
    assert refused.value.reason == "AccessRefused"
    assert named in refused.value.message
    for secret in ("s3cret", "/etc/shadow", "evil"):
        assert secret not in refused.value.message


def test_helms_words_have_no_secrets_in_them_when_they_are_told() -> None:
    access = Kubeconfig({}, {"token": "s3cret"})
    said = "WARNING: x\nError: INSTALLATION FAILED:\n  denied for Bearer s3cret\n" + "y" * 1000
    told = without_secrets(said, access)
    assert told.startswith("INSTALLATION FAILED: denied for Bearer ***")
    assert len(told) == 600


def test_release_is_another_when_its_values_are() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


STATEFUL = {
    "kind": "StatefulSet",
    "spec": {
        "replicas": 3,
        "template": {
            "metadata": {"annotations": {"checksum/config": "x"}},
            "spec": {"containers": [{"name": "nats", "image": "nats:2", "args": ["-c"]}]},
        },
    },
}


@pytest.mark.parametrize(
    ("found", "way"),
    [
        ({"replicas": 3}, "spec.template"),
        (STATEFUL["spec"], ""),
        (STATEFUL["spec"] | {"replicas": 0}, "spec.replicas"),  # type: ignore[operator]
        (STATEFUL["spec"] | {"template": {**STATEFUL["spec"]["template"], "more": 1}}, ""),  # type: ignore[index, operator]
        (None, "spec"),
    ],
)
def test_live_object_differs_where_servers_would_run_otherwise(found: Any, way: str) -> None:
    assert differs(parts_of(STATEFUL), {"spec": found, "status": {}}) == way


def test_other_containers_are_a_difference_when_somebody_put_one_in() -> None:
    assert differs({"a": [{"n": 1}]}, {"a": [{"n": 1}, {"n": 2}]}) == "a"
    assert differs({"a": [{"n": 1}]}, {"a": [{"n": 3, "m": 2}]}) == "a[0].n"


def test_aws_words_are_told_when_it_refuses() -> None:
    assert reason_of(RuntimeError("boom")) == "boom"
