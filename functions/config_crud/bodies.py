"""What the bodies of config requests look like, and which field of one is wrong."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from shared.domain import json_text
from shared.domain.errors import Fault, Malformed, NotFound
from shared.domain.names import check_pattern
from shared.domain.principal import Grant

MAX_GRANTS = 100
TEXT, LIST, OBJECT = KINDS = ("(text)", "(list)", "(object)")  # what a field may be, where it may be several things
MAX_PATTERNS = 100  # of one grant
MOST_PATTERNS = 1_000  # of all grants of a principal: each is compared with each of the caller's

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,63}")  # a NATS consumer is named after it: no dots


def _pattern(value: str) -> str:
    try:
        check_pattern(_text(value))
    except Malformed:
        raise PydanticCustomError("pattern", "not a pattern: `*` stands for one token, `>` at the end for one or more") from None
    return value


def _text(value: str) -> str:
    if not value or not value.isprintable():
        raise PydanticCustomError("text", "must be text without control characters")
    return value


def _subject(value: str) -> str:
    if _text(value) not in ("*", ">") and ("*" in value or ">" in value):
        raise PydanticCustomError("subject", "a subject is one whole name, or `*` for all: name each, for there are no patterns within one")
    return value


Pattern = Annotated[str, Field(max_length=1024), AfterValidator(_pattern)]
Subject = Annotated[str, Field(max_length=1024), AfterValidator(_subject)]
Action = Literal["publish", "read", "config:read", "config:write", "registry:read", "registry:write", "redrive", "admin"]


class GrantBody(BaseModel):
    """One permission; `admin` implies every other action. `subjects`: `*` for all, else names."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Action
    topics: list[Pattern] = Field(default=[">"], min_length=1, max_length=MAX_PATTERNS)
    subjects: list[Subject] = Field(default=["*"], min_length=1, max_length=MAX_PATTERNS)

    def grant(self) -> Grant:
        """The same in the domain's terms."""
        return Grant(self.action, tuple(self.topics), tuple(self.subjects))


class PrincipalBody(BaseModel):
    """A principal without its name, which is in the path."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grants: list[GrantBody] = Field(max_length=MAX_GRANTS)

    @field_validator("grants")
    @classmethod
    def _bounded(cls, grants: list[GrantBody]) -> list[GrantBody]:
        if sum(len(grant.topics) + len(grant.subjects) for grant in grants) > MOST_PATTERNS:
            raise PydanticCustomError("patterns", "at most {most} topics and subjects in all", {"most": MOST_PATTERNS})
        return grants


class RollbackBody(BaseModel):
    """Where to go back to. `global`: the document `global`, and no other; for system admins."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: int = Field(ge=0, lt=2**63)
    everybodys: bool = Field(default=False, alias="global")


class OrgBody(BaseModel):
    """A new org's first admin. `restore` makes one again that was deleted, with whatever it left."""

    model_config = ConfigDict(extra="forbid", strict=True)

    admin: str = Field(default="admin", max_length=64)
    restore: bool = False


class CheckBody(BaseModel):
    """What would be said of these events if the document were at the path. Without `document`, by what is in force.

    `principal` is whose events they are, the caller's own unless it says so; `document` null stands for none at all.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str | None = Field(default=None, max_length=600)
    document: Any = None
    events: list[dict[str, Any]] = Field(default=[], max_length=100)
    principal: Annotated[str, Field(max_length=64), AfterValidator(_text)] | None = None


class BacktestBody(BaseModel):
    """Which logged messages would flip with the document at the path (null: with none). Times are RFC 3339 or ages (`15m`, `7d`)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str = Field(max_length=600)
    document: Any = None
    since: str = Field(default="24h", max_length=64)
    until: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=1_000_000, ge=1, le=1_000_000)
    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,18}-[0-9a-f]{32}$")


class CommandBody(BaseModel):
    """What a command's event carries. `document` and `patch` may be anything: whether they hold is said of them, not of the body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    document: Any = None
    patch: Any = None
    org: str | None = Field(default=None, max_length=40)
    reason: str = ""
    if_match: int | None = Field(default=None, ge=1)
    if_none_match: Literal["*"] | None = None


Body = TypeVar("Body", bound=BaseModel)


def parse(model: type[Body], body: bytes) -> Body:
    """The body as a model. Raises Malformed with a JSON pointer for each field that is wrong, and for a name that is there twice."""
    json_text.parse(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        faults = [Fault(_pointer(one["loc"]), one["msg"]) for one in found[:20]]
        raise Malformed(f"the body is not as it should be: {faults[0].pointer or 'JSON'}: {faults[0].detail}", faults=faults) from None


def check_name(name: str) -> str:
    """The principal's name itself. Raises Malformed naming `name`."""
    if not _NAME.fullmatch(name):
        detail = "1 to 64 letters, digits, '-', '_' and ':', the first a letter or digit"
        raise Malformed(f"a principal's name is {detail}", faults=[Fault("name", detail)])
    return name


def check_issuer_name(name: str) -> str:
    """The issuer's name itself. Raises Malformed naming `name`. Principals are named `<issuer>/<claim>`."""
    if not _NAME.fullmatch(name) or ":" in name:
        detail = "1 to 64 letters, digits, '-' and '_', the first a letter or digit"
        raise Malformed(f"an issuer's name is {detail}", faults=[Fault("name", detail)])
    return name


def check_key_id(key_id: str) -> str:
    """The key's id itself. Raises NotFound for what can't be one."""
    if not _NAME.fullmatch(key_id):
        raise NotFound("no such key")
    return key_id


def schema() -> dict[str, Any]:
    """PrincipalBody for /openapi.json, with nothing in it that refers elsewhere."""
    whole = PrincipalBody.model_json_schema()
    whole["properties"]["grants"]["items"] = whole.pop("$defs")["GrantBody"]
    return whole


def _pointer(location: Iterable[int | str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location if part not in KINDS)
