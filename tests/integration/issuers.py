"""An issuer of tokens in an install's config, and what a request shows of it."""

from typing import Any

from functions.config_crud.issuer_body import IssuerBody
from shared.adapters.postgres import PostgresConfigStore
from tests.tokens import AUDIENCE, ISSUER, token

GRANTS = {"orders": [{"action": "publish", "topics": ["orders.>"]}, {"action": "read"}]}


def body(org: str, url: str) -> dict[str, Any]:
    """As config-crud takes it: the org's principals are `idp/<sub>`, with the grants of their `groups`."""
    return {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["ES256"],
        "jwks_url": url,
        "org": org,
        "grants": {"claim": "groups", "values": GRANTS},
    }


async def put_issuer(database: str, org: str, url: str) -> None:
    """By the store: config-crud takes it from system admins, which a front's admin isn't."""
    config = PostgresConfigStore(database)
    await config.put_issuer(IssuerBody.model_validate(body(org, url)).made("idp"), org, "test")
    await config.stop()


def bearer(**said: Any) -> dict[str, str]:
    """The header with a token that says so."""
    return {"authorization": f"Bearer {token(**said)}"}
