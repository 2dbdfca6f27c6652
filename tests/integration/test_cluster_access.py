"""How clusters are got at through AWS: Secrets Manager, EKS and STS as servers of moto, and a kubeconfig that is refused all the same."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from shared.adapters.kubernetes.access import Clusters, follow
from shared.adapters.kubernetes.kubeconfig import Kubeconfig
from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.shapes import Access, Cluster, Eks

REGION = "eu-west-1"
GOOD = Kubeconfig({"server": "https://10.0.0.7:6443"}, {"token": "s3cret"})


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of an AWS of the module's own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def role(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reconciler's own, as its environment says it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "verysecret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws,
        "AWS_RETRY_MODE": "standard",  # moto's server answered 500 once, in a whole run; AWS does so too, and its clients ask again
        "AWS_MAX_ATTEMPTS": "4",
    }.items():
        monkeypatch.setenv(name, value)


def secret(name: str, text: str | bytes) -> str:
    """The ARN of a new secret."""
    content: dict[str, Any] = {"SecretString": text} if isinstance(text, str) else {"SecretBinary": text}
    return str(boto3.client("secretsmanager").create_secret(Name=name, **content)["ARN"])


def test_kubeconfig_is_found_by_name_and_by_arn_when_it_is_a_secret() -> None:
    arn = secret("switchboard/acme/eu", yaml.safe_dump(GOOD.content()))
    assert follow(Access(aws_secret="switchboard/acme/eu")) == GOOD
    assert follow(Access(aws_secret=arn)) == GOOD


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("switchboard/acme/none", None, "ResourceNotFoundException"),
        ("switchboard/acme/bytes", b"\0", "no text"),
        ("switchboard/acme/exec", yaml.safe_dump(GOOD.content()).replace("token: s3cret", "exec: {command: sh}"), "user.exec"),
    ],
)
def test_reason_is_told_without_the_secret_when_it_cannot_be_followed(name: str, text: str | bytes | None, reason: str) -> None:
    if text is not None:
        secret(name, text)
    with pytest.raises(Undeployed) as refused:
        follow(Access(aws_secret=name))
    assert reason in refused.value.message
    assert "s3cret" not in refused.value.message


def test_eks_is_described_and_signed_in_to_when_it_is_named() -> None:
    made = boto3.client("eks").create_cluster(
        name="prod", roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={"subnetIds": ["subnet-1"]}
    )["cluster"]
    found = follow(Access(eks=Eks("prod", REGION)))
    assert found.cluster["server"] == made["endpoint"]
    assert found.cluster["certificate-authority-data"] == made["certificateAuthority"]["data"]
    token = found.user["token"]
    assert token.startswith("k8s-aws-v1.")
    padded = token.removeprefix("k8s-aws-v1.") + "=="
    url = urlsplit(base64.urlsafe_b64decode(padded).decode())
    query = parse_qs(url.query)
    assert (query["Action"], query["X-Amz-Expires"], query["X-Amz-SignedHeaders"]) == (["GetCallerIdentity"], ["60"], ["host;x-k8s-aws-id"])
    assert f"/{REGION}/sts/" in query["X-Amz-Credential"][0]
    assert "verysecret" not in url.query


def test_reason_is_awss_own_when_there_is_no_such_cluster() -> None:
    with pytest.raises(Undeployed, match="ResourceNotFoundException"):
        follow(Access(eks=Eks("none", REGION)))


@pytest.mark.parametrize("access", [Access(kubeconfig_secret="acme.eu"), Access(in_cluster=True)])
def test_it_says_so_when_this_process_runs_in_no_cluster(access: Access) -> None:
    with pytest.raises(Undeployed, match="runs in no cluster"):
        follow(access)


async def test_reference_is_followed_again_when_what_it_led_to_does_not_work() -> None:
    asked: list[Access] = []

    def find(access: Access) -> Kubeconfig:
        asked.append(access)
        return GOOD

    clusters, cluster = Clusters(find), Cluster("eu", "acme", "", "helm", Access(aws_secret="x"), {})
    assert [await clusters.of(cluster) for _ in range(3)] == [GOOD] * 3
    clusters.forget(cluster)
    assert await clusters.of(cluster) == GOOD
    assert len(asked) == 2
