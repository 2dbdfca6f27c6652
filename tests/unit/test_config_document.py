"""Config documents: what is taken, and that every fault has a pointer to it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.config.compiling import compile_document
from shared.domain.config.document import Document
from shared.domain.config.durations import seconds
from shared.domain.config.patch import merge_patch
from shared.domain.errors import NotProcessable
from shared.domain.json_text import canonical
from shared.domain.rules.rules import Rules
from shared.domain.rules.schema import SchemaFault
from tests.unit.config_samples import WHOLE


def faults(document: Any, path: str = "org") -> dict[str, str]:
    with pytest.raises(NotProcessable) as caught:
        compile_document(path, document)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def test_a_document_compiles_when_it_is_the_contracts_example() -> None:
    compiled = compile_document("org", WHOLE)
    assert compiled.document.max_bytes == 1048576
    assert compiled.rules == ('message.topic == "pay" && now.getHours() < 6', 'message.subject == "eu-1"')


def test_a_document_compiles_when_it_says_nothing() -> None:
    assert compile_document("topics/orders.>", {}).document == Document()


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"bogus": 1}, "/bogus"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"max_bytes": 0}, "/max_bytes"),
        ({"max_bytes": True}, "/max_bytes"),
        ({"max_bytes": None}, "/max_bytes"),
        ({"max_bytes": 2097153}, "/max_bytes"),
        ({"max_bytes": 1.5}, "/max_bytes"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": 0, "burst": 1}]}, "/rate_limits/0/rate"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": -1, "burst": 1}]}, "/rate_limits/0/rate"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": float("nan"), "burst": 1}]}, "/rate_limits/0/rate"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": float("inf"), "burst": 1}]}, "/rate_limits/0/rate"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": 1e400, "burst": 1}]}, "/rate_limits/0/rate"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": 1, "burst": 0}]}, "/rate_limits/0/burst"),
        ({"rate_limits": [{"name": "a", "per": ["door"], "rate": 1, "burst": 1}]}, "/rate_limits/0/per/0"),
        ({"rate_limits": [{"name": "a", "per": ["topic", "topic"], "rate": 1, "burst": 1}]}, "/rate_limits/0/per"),
        ({"rate_limits": [{"name": "a b", "per": [], "rate": 1, "burst": 1}]}, "/rate_limits/0/name"),
        ({"rate_limits": [{"name": "a\n", "per": [], "rate": 1, "burst": 1}]}, "/rate_limits/0/name"),
        ({"rate_limits": [{"per": [], "rate": 1, "burst": 1}]}, "/rate_limits/0/name"),
        ({"rate_limits": [{"name": "a", "per": [], "rate": 1, "burst": 1}] * 2}, "/rate_limits/1/name"),
        ({"rate_limits": [{"name": f"a{n}", "per": [], "rate": 1, "burst": 1} for n in range(33)]}, "/rate_limits"),
        ({"rate_limits": {}}, "/rate_limits"),
        ({"buffer": {"messages": 0}}, "/buffer/messages"),
        ({"buffer": []}, "/buffer"),
        ({"retry": {"attempts": 1001}}, "/retry/attempts"),
        ({"retry": {"initial_ms": 10, "max_ms": 5}}, "/retry/max_ms"),
        ({"retry": {"give_up_after": "24 h"}}, "/retry/give_up_after"),
        ({"retry": {"give_up_after": "0s"}}, "/retry/give_up_after"),
        ({"retry": {"give_up_after": "٣s"}}, "/retry/give_up_after"),
        ({"retention": "0d"}, "/retention"),
        ({"retention": "999999999d"}, "/retention"),
        ({"retention": 90}, "/retention"),
        ({"policies": [{"name": "a", "when": "message.nope == 1"}]}, "/policies/0/when"),
        ({"policies": [{"name": "a", "when": "1 + 1"}]}, "/policies/0/when"),
        ({"policies": [{"name": "a", "when": ""}]}, "/policies/0/when"),
        ({"policies": [{"name": "a", "when": "\ud800"}]}, "/policies/0/when"),
        ({"policies": [{"name": "a", "when": "true", "effect": "route"}]}, "/policies/0/to"),
        ({"policies": [{"name": "a", "when": "true", "effect": "route", "to": []}]}, "/policies/0/to"),
        ({"policies": [{"name": "a", "when": "true", "to": ["local"]}]}, "/policies/0/to"),
        ({"policies": [{"name": "a", "when": "true", "effect": "drop"}]}, "/policies/0/effect"),
        ({"routes": []}, "/routes"),
        ({"routes": [{"to": ["cluster:"]}]}, "/routes/0/to/0"),
        ({"routes": [{"to": ["local", "backbone:a b"]}]}, "/routes/0/to/1"),
        ({"routes": [{"to": ["http://x"]}]}, "/routes/0/to/0"),
        ({"routes": [{"to": ["local"]}, {"to": ["global"]}]}, "/routes/1"),
        ({"routes": [{"to": ["local"], "when": "message.topic"}]}, "/routes/0/when"),
        ({"schema": {"type": 5}}, "/schema/type"),
        ({"schema": {"properties": {"a": {"$ref": "https://x.example/y"}}}}, "/schema/properties/a/$ref"),
        ({"schema": []}, "/schema"),
        ([], ""),
        (None, ""),
        ({"schema": {"const": "a" * 300_000}}, ""),
    ],
)
def test_a_document_is_refused_with_a_pointer_when_a_field_is_wrong(document: Any, pointer: str) -> None:
    assert list(faults(document)) == [pointer]


def test_every_fault_is_named_when_there_are_several() -> None:
    document = {
        "bogus": 1,
        "max_bytes": -1,
        "rate_limits": [{"name": "a", "per": ["x"], "rate": 0, "burst": 0, "more": 1}, {"name": "b"}],
        "retry": {"attempts": 0, "give_up_after": 5},
    }
    assert set(faults(document)) == {
        "/bogus", "/max_bytes", "/rate_limits/0/more", "/rate_limits/0/per/0", "/rate_limits/0/rate", "/rate_limits/0/burst",
        "/rate_limits/1/per", "/rate_limits/1/rate", "/rate_limits/1/burst", "/retry/attempts", "/retry/give_up_after",
    }  # fmt: skip


def test_twenty_faults_are_named_when_there_are_more() -> None:
    assert len(faults({f"x{n}": 1 for n in range(50)})) == 20


def test_retention_is_refused_when_the_document_is_for_a_pattern() -> None:
    assert faults({"retention": "1d"}, "topics/a") == {"/retention": "only in the global document and an org's"}
    compile_document("global", {"retention": "1d"})


@pytest.mark.parametrize(
    "path", ["", "orgs", "org/x", "global/", "topics", "topics/", "topics/a..b", "topics/>.a", "topics/a*", "subjects/a.>", "subjects/*.b",
             "topics/" + "a" * 513]
)  # fmt: skip
def test_a_path_is_refused_when_it_is_none(path: str) -> None:
    assert list(faults({}, path)) == ["/path"]


def test_a_fault_does_not_echo_the_value() -> None:
    assert not any("hunter2" in detail for detail in faults({"max_bytes": "hunter2", "retention": "hunter2"}).values())


@pytest.mark.parametrize(("text", "count"), [("90d", 7_776_000), ("24h", 86_400), ("15m", 900), ("30s", 30)])
def test_a_duration_is_read_when_it_is_a_number_and_a_unit(text: str, count: int) -> None:
    assert seconds(text) == count


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*WHOLE, "name", "when", "per", "$ref", "properties"])
documents = st.dictionaries(
    fields | st.text(max_size=5), json_values | st.lists(st.dictionaries(fields, json_values), max_size=3), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(documents | documents.map(lambda some: WHOLE | some))
def test_any_document_compiles_or_names_a_field(document: dict[str, Any]) -> None:
    named = None
    try:
        compile_document("org", document)
    except NotProcessable as refusal:
        named = refusal.faults
    if named is not None:
        assert 1 <= len(named) <= 20
        assert all(fault.pointer == "" or fault.pointer.startswith("/") for fault in named)
        assert all(fault.detail for fault in named)
        return
    with suppress(ValueError):  # NaN, which no text that is read has
        _check_door(canonical(document))


def _check_door(text: bytes) -> None:
    """What a door makes of the text of a document that was taken: all of it."""
    scope = Rules({"acme": {"org": text}}).scope("acme", "a", None)
    assert (scope.unreadable, isinstance(scope.schema, SchemaFault)) == ("", False)
    assert not any(route.broken for route in scope.routes)
    assert all(one.program is not None for group in (scope.blockers, scope.routers, scope.shadows) for one in group.asked)


@pytest.mark.parametrize(
    ("target", "patch", "result"),  # RFC 7396, appendix A
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged_as_rfc_7396_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result
