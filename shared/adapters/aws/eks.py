"""Clusters of Amazon EKS: described, and signed in to with a token that proves the reconciler's own role (as `aws eks get-token` does)."""

import base64

from shared.adapters.aws.secrets import reason_of
from shared.adapters.kubernetes.kubeconfig import Kubeconfig
from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.shapes import Eks

PREFIX = "k8s-aws-v1."
SIGNED_FOR_S = 60  # how long the signed request may take to get there; the token is good for 15 minutes


def eks_kubeconfig(wanted: Eks) -> Kubeconfig:
    """How the cluster is got at. Blocks. Raises Undeployed."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session(region_name=wanted.region)
    try:
        found = session.client("eks").describe_cluster(name=wanted.name)["cluster"]
        token = token_of(session, wanted)
    except (BotoCoreError, ClientError) as error:
        raise Undeployed("NoAccess", f"the EKS cluster {wanted.name} can't be got at: {reason_of(error)}") from None
    if found.get("status") not in ("ACTIVE", "UPDATING"):
        raise Undeployed("NoAccess", f"the EKS cluster {wanted.name} is {found.get('status')}")
    return Kubeconfig({"server": found["endpoint"], "certificate-authority-data": found["certificateAuthority"]["data"]}, {"token": token})


def token_of(session: object, wanted: Eks) -> str:
    """A token for the cluster: a signed request to STS that says who we are, for nobody but that cluster."""
    from botocore.signers import RequestSigner

    client = session.client("sts")  # type: ignore[attr-defined]  # boto3 has no types
    region = wanted.region
    credentials = session.get_credentials()  # type: ignore[attr-defined]
    signer = RequestSigner(client.meta.service_model.service_id, region, "sts", "v4", credentials, client.meta.events)
    request = {
        "method": "GET",
        "url": f"{client.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": wanted.name},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name=region, expires_in=SIGNED_FOR_S, operation_name="")
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
