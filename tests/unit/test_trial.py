"""Trying a document's rules in a child process."""

from typing import Any

import pytest

from shared.domain.config.compiling import compile_document
from shared.trial import USUAL, Bounds, child_environment, try_out
from tests.unit.config_samples import WHOLE, message


async def tried(document: dict[str, Any], bounds: Bounds = USUAL) -> list[tuple[str, str]]:
    faults = await try_out(compile_document("org", document), [message({"sku": 1})], bounds)
    return [(fault.pointer, fault.detail) for fault in faults]


async def test_a_document_is_let_through_when_its_rules_are_quick() -> None:
    assert await tried(WHOLE) == []


async def test_no_process_is_started_when_there_is_nothing_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")
    assert await tried({"max_bytes": 1}) == []


RULES = {"policies": [{"name": "a", "when": "message.size < 0"}, {"name": "b", "when": "data.list.all(x, !(5 in data.list))"}]}


async def test_a_rule_is_named_when_one_message_takes_it_too_long() -> None:
    ((pointer, detail),) = await tried(RULES, Bounds(slowest_ms=20))
    assert pointer == "/policies/1/when"
    assert "20 are allowed" in detail


@pytest.mark.parametrize("bounds", [Bounds(memory=20 << 20), Bounds(cpu_seconds=0), Bounds(seconds=0.001)])
async def test_the_first_rule_is_named_when_the_child_never_gets_to_one(bounds: Bounds) -> None:
    ((pointer, detail),) = await tried(RULES, bounds)
    assert pointer == "/policies/0/when"
    assert "to try" in detail


async def test_the_child_sees_no_setting_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_DATABASE_URL", "postgres://secret")
    assert not [name for name in child_environment() if name.startswith("SWITCHBOARD")]
