"""Which documents may be published: a target that is nowhere is refused by name, rather than taken and forgotten."""

from typing import Any

import pytest

from functions.config_crud.admission import admission
from shared.domain.errors import NotProcessable
from shared.domain.registry.reach import Reach, Targets

REGISTERED = (
    Reach("main-1", "acme", "us", "local"),
    Reach("theirs-1", "globex", "eu", "local"),
    Reach("going-1", "acme", "de", "local", deleting=True),
)


async def known(org: str) -> Targets:
    return Targets(REGISTERED, "local", "home")


NOT_YET: list[tuple[dict[str, Any], str]] = [
    ({"policies": [{"name": "a", "when": "true", "effect": "route", "to": ["global"]}]}, "/policies/0/to/0"),
    ({"routes": [{"to": ["local", "cluster:eu"]}]}, "/routes/0/to/1"),
    ({"routes": [{"to": ["backbone:theirs-1"]}]}, "/routes/0/to/0"),
    ({"routes": [{"to": ["cluster:us", "cluster:de"]}]}, "/routes/0/to/1"),
    ({"routes": [{"to": ["sink:billing"]}]}, "/routes/0/to/0"),
]


@pytest.mark.parametrize(("document", "pointer"), NOT_YET)
async def test_document_is_refused_when_nothing_would_act_on_it(document: dict[str, Any], pointer: str) -> None:
    with pytest.raises(NotProcessable) as refused:
        await admission(known)("acme", "org", document, trial=False)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    await admission(known)("acme", "org", document, trial=False, publish=False)


async def test_document_is_admitted_when_all_of_it_is_in_force() -> None:
    rules = {
        "policies": [{"name": "a", "when": "message.size > 5"}, {"name": "b", "when": "true", "mode": "shadow"}],
        "routes": [{"when": "data.n == 1", "to": ["local"]}, {"to": ["local", "cluster:us", "backbone:main-1", "cluster:home"]}],
    }
    kept = {"retry": {"attempts": 3}, "buffer": {"messages": 10, "in_flight": 5}}
    await admission(known)("acme", "topics/orders.>", rules | kept | {"max_bytes": 9, "schema": {"type": "object"}})
    await admission(known)("acme", "org", {"retention": "30d"})
