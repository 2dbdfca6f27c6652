"""What config says of one issuer of tokens."""

from collections.abc import Mapping

import msgspec

from shared.domain.principal import Grant

# Asymmetric only: a key that verifies must not be one that signs (RFC 8725, 3.2).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
TYPES = ("JWT", "at+jwt")


class Issuer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An issuer, by the name that config gives it. `issuer` is the `iss` of its tokens, to the letter; one of `audience` is in their `aud`.

    `jwks_url` or `jwks` (the JSON text of a JWK Set) has its public keys. `org` is fixed, or `org_claim` names one of `orgs`. The
    principal is the config principal that `principal_claim` names; with `grants_claim` it is `<name>/<claim>`, with the grants that
    `grants` has for that claim's values. `leeway` is in seconds, for clocks that differ. `types` are the `typ` headers taken; a token
    without one is taken where they are left out.
    """

    name: str
    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks_url: str | None = None
    jwks: str | None = None
    org: str | None = None
    org_claim: str | None = None
    orgs: tuple[str, ...] = ()
    principal_claim: str = "sub"
    grants_claim: str | None = None
    grants: Mapping[str, tuple[Grant, ...]] = {}
    leeway: int = 10
    types: tuple[str, ...] = ()
