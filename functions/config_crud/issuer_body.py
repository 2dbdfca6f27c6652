"""What config says of an issuer, as requests and answers have it."""

from typing import Annotated, Any, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from functions.config_crud.bodies import LIST, MAX_GRANTS, OBJECT, TEXT, GrantBody
from shared.domain.errors import Malformed
from shared.domain.json_text import canonical
from shared.domain.names import check_org
from shared.domain.token_issuer import ALGORITHMS, Issuer
from shared.tokens.fetching import check_url
from shared.tokens.key_set import read_key_set

MAX_LEEWAY = 120  # seconds


def _text(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("text", "must be text without control characters")
    return value


def _url(value: str) -> str:
    try:
        return check_url(value)
    except Malformed as error:
        raise PydanticCustomError("url", "{detail}", {"detail": error.detail}) from None


def _org(value: str) -> str:
    try:
        return check_org(value)
    except Malformed:
        raise PydanticCustomError("org", "not the name of an org") from None


def _algorithm(value: str) -> str:
    if value not in ALGORITHMS:
        raise PydanticCustomError("algorithm", "not one of {known}", {"known": ", ".join(ALGORITHMS)})
    return value


def _jwks(value: dict[str, Any]) -> dict[str, Any]:
    try:
        private = read_key_set(canonical(value)).private
    except (Malformed, ValueError) as error:
        raise PydanticCustomError("jwks", "{detail}", {"detail": str(error)}) from None
    if private:
        raise PydanticCustomError("jwks", "it holds a secret: only public keys belong here")
    return value


Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_text)]
Org = Annotated[str, AfterValidator(_org)]
Algorithm = Annotated[str, AfterValidator(_algorithm)]


def _kind(value: object) -> str:
    """Which of a union is meant: bodies.py leaves these words out of pointers."""
    return TEXT if isinstance(value, str) else OBJECT if isinstance(value, dict | BaseModel) else LIST


class ClaimedOrg(BaseModel):
    """The org is what a claim says, where that is one of `allowed`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    claim: Text
    allowed: list[Org] = Field(min_length=1, max_length=1_000)


class ClaimedGrants(BaseModel):
    """Grants by the values of a claim: a text or a list. `scope` is a list with spaces; a name with `/` before it is a JSON pointer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    claim: Text
    values: dict[Text, Annotated[list[GrantBody], Field(max_length=MAX_GRANTS)]] = Field(min_length=1, max_length=100)


class IssuerBody(BaseModel):
    """An issuer without its name, which is in the path. Without `grants` its tokens name config principals."""

    model_config = ConfigDict(extra="forbid", strict=True)

    issuer: Text
    audience: Annotated[Annotated[Text, Tag(TEXT)] | Annotated[list[Text], Tag(LIST)], Discriminator(_kind)]
    algorithms: list[Algorithm] = Field(min_length=1, max_length=len(ALGORITHMS))
    jwks_url: Annotated[str, AfterValidator(_url)] | None = None
    jwks: Annotated[dict[str, Any], AfterValidator(_jwks)] | None = None
    org: Annotated[Annotated[Org, Tag(TEXT)] | Annotated[ClaimedOrg, Tag(OBJECT)], Discriminator(_kind)]
    principal_claim: Text = "sub"
    grants: ClaimedGrants | None = None
    leeway: int = Field(default=10, ge=0, le=MAX_LEEWAY)
    types: list[Text] = Field(default=[], max_length=10)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.jwks_url is None) == (self.jwks is None):
            raise PydanticCustomError("jwks", "one of jwks_url and jwks is there")
        if isinstance(self.audience, list) and not 0 < len(self.audience) <= 20:
            raise PydanticCustomError("audience", "audience: 1 to 20")
        return self

    def made(self, name: str) -> Issuer:
        """The same in the domain's terms."""
        claimed = self.org if isinstance(self.org, ClaimedOrg) else None
        grants = {} if self.grants is None else self.grants.values
        return Issuer(
            name,
            self.issuer,
            (self.audience,) if isinstance(self.audience, str) else tuple(dict.fromkeys(self.audience)),
            tuple(dict.fromkeys(self.algorithms)),
            jwks_url=self.jwks_url,
            jwks=None if self.jwks is None else canonical(self.jwks).decode(),
            org=self.org if isinstance(self.org, str) else None,
            org_claim=None if claimed is None else claimed.claim,
            orgs=() if claimed is None else tuple(dict.fromkeys(claimed.allowed)),
            principal_claim=self.principal_claim,
            grants_claim=None if self.grants is None else self.grants.claim,
            grants={value: tuple(grant.grant() for grant in given) for value, given in grants.items()},
            leeway=self.leeway,
            types=tuple(self.types),
        )


def view(issuer: Issuer) -> dict[str, object]:
    """The issuer as answers have it: what a PUT may say, and its name."""
    keys: dict[str, object] = {"jwks_url": issuer.jwks_url}
    if issuer.jwks is not None:
        keys = {"jwks": msgspec.Raw(issuer.jwks.encode())}
    grants = {"grants": {"claim": issuer.grants_claim, "values": issuer.grants}} if issuer.grants_claim is not None else {}
    return {
        "name": issuer.name,
        "issuer": issuer.issuer,
        "audience": issuer.audience,
        "algorithms": issuer.algorithms,
        **keys,
        "org": issuer.org or {"claim": issuer.org_claim, "allowed": issuer.orgs},
        "principal_claim": issuer.principal_claim,
        **grants,
        "leeway": issuer.leeway,
        "types": issuer.types,
    }


def schema() -> dict[str, Any]:
    """IssuerBody for /openapi.json, with nothing in it that refers elsewhere."""
    whole = IssuerBody.model_json_schema()
    parts = whole.pop("$defs")

    def inlined(value: Any) -> Any:
        if isinstance(value, dict):
            named = value.get("$ref")
            return inlined(parts[named.rpartition("/")[2]]) if named else {name: inlined(inner) for name, inner in value.items()}
        return [inlined(inner) for inner in value] if isinstance(value, list) else value

    found: dict[str, Any] = inlined(whole)
    return found
