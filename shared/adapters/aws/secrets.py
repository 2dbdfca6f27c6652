"""Kubeconfigs in AWS Secrets Manager, read with the reconciler's own role."""

from shared.domain.registry.deploying import Undeployed


def secret_text(name: str) -> str:
    """The text of a secret, by name or ARN. Blocks. Raises Undeployed, without anything of the secret."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 6 else None
    try:
        found = boto3.client("secretsmanager", region_name=region).get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        raise Undeployed("NoAccess", f"the secret {name} can't be read: {reason_of(error)}") from None
    text = found.get("SecretString")
    if not isinstance(text, str):
        raise Undeployed("NoAccess", f"the secret {name} is no text")
    return text


def reason_of(error: Exception) -> str:
    """What AWS says, in its own words."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        said = answer.get("Error", {})
        return f"{said.get('Code')}: {str(said.get('Message'))[:300]}"
    return str(error)[:300]
