"""`schema` of config: JSON Schema 2020-12 for data, bounded."""

from typing import Any

import pytest

from shared.domain.rules.schema import Schema, SchemaFault, compile_schema
from shared.domain.rules.schema_work import work_of

ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["sku"],
    "properties": {"sku": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5}, "lines": {"items": {"$ref": "#/$defs/line"}}},
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}},
}


def pairs(schema: Schema, data: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.detail) for fault in schema.faults(data)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"sku": "abc", "lines": [{"count": 1}]}, []),
        ({}, [("/data", "sku is required")]),
        ({"sku": 5}, [("/data/sku", "should be of type string")]),
        ({"sku": "A"}, [("/data/sku", "doesn't match ^[a-z]+$")]),
        ({"sku": "abcdef"}, [("/data/sku", "maxLength is 5")]),
        ({"sku": "abc", "lines": [{}, {"count": 0}]}, [("/data/lines/1/count", "minimum is 1")]),
        ({"sku": "abc", "hunter2": 1}, [("/data", "additionalProperties doesn't hold")]),
        (None, [("/data", "should be of type object")]),
        (2**70, [("/data", "should be of type object")]),
    ],
)
def test_data_is_judged_with_a_pointer_and_a_reason(data: Any, expected: list[tuple[str, str]]) -> None:
    assert pairs(compile_schema(ORDER), data) == expected


def test_ten_faults_are_named_when_there_are_more() -> None:
    schema = compile_schema({"items": {"type": "string"}})
    assert len(schema.faults(list(range(50)))) == 10


def test_the_data_is_not_echoed() -> None:
    secret = "hunter2" * 10
    wrong: list[dict[str, Any]] = [
        {"const": 1},
        {"enum": [1, 2]},
        {"type": "number"},
        {"pattern": "^a$"},
        {"not": {}},
        {"maxLength": 3},
        {"format": "x", "minLength": 99},
        {"anyOf": [{"type": "number"}, {"maxLength": 1}]},
        {"oneOf": [{}, {}]},
    ]
    for schema in wrong:
        (fault,) = compile_schema(schema).faults(secret)
        assert "hunter2" not in fault.detail + fault.pointer


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": 5}, "/type"),
        ({"properties": {"a": {"minimum": "x"}}}, "/properties/a/minimum"),
        ({"pattern": "["}, "/pattern"),
        ({"pattern": "(?=a)"}, "/pattern"),
        ({"pattern": "(a{1000}){1000}"}, "/pattern"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "/$ref"),
        ({"$ref": "file:///etc/passwd"}, "/$ref"),
        ({"allOf": [{"$ref": "other.json"}]}, "/allOf/0/$ref"),
        ({"$ref": "#/nowhere"}, ""),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema"),
        ({"$defs": {"a": {"$id": "https://x.example/a"}}}, "/$defs/a/$id"),
        ({"$anchor": "here"}, "/$anchor"),
        ({"multipleOf": 0}, "/multipleOf"),
    ],
)
def test_a_schema_is_refused_with_a_pointer_when_it_is_none_of_ours(schema: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SchemaFault) as caught:
        compile_schema(schema)
    assert caught.value.fault.pointer == pointer


def test_names_of_members_are_no_keywords() -> None:
    schema = compile_schema({"properties": {"$ref": {"type": "string"}, "$id": {}, "$schema": {}, "enum": {"type": "integer"}}})
    assert schema.faults({"$ref": "https://x.example", "enum": 1}) == []
    assert pairs(schema, {"enum": "a"}) == [("/data/enum", "should be of type integer")]


def doubling(steps: int) -> dict[str, Any]:
    """A schema in which each step refers to the next one twice."""
    defs: dict[str, Any] = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(steps)}
    return {"$ref": "#/$defs/s0", "$defs": defs | {f"s{steps}": {"type": "object"}}}


@pytest.mark.parametrize(
    "schema",
    [
        doubling(40),
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
        {"anyOf": [{"properties": {"l": {"$ref": "#"}}}, {"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}}]},
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}},
        {"enum": [[n] for n in range(15_000)]},
    ],
)
def test_a_schema_is_refused_when_it_could_look_at_one_value_without_end(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"too often|lead back|too many"):
        work_of(schema)
    with pytest.raises(SchemaFault):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("schema", "at_most"),
    [
        (True, 1),
        ({}, 1),
        (ORDER, 20),
        (doubling(5), 500),
        ({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}}}, 10),
        ({"anyOf": [{"type": "null"}, {"properties": {"children": {"items": {"$ref": "#"}}}}]}, 20),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(500)}}, 600),
        ({"enum": [f"c{n}" for n in range(250)]}, 600),
    ],
)
def test_usual_and_recursive_schemas_are_cheap(schema: Any, at_most: int) -> None:
    assert 1 <= work_of(schema) <= at_most


def test_data_is_not_validated_when_it_could_take_too_long() -> None:
    schema = compile_schema({"items": {"enum": [[n] for n in range(5_000)]}})
    assert schema.affordable(b"[1,2,3]")
    assert not schema.affordable(b"[" + b"1," * 100_000 + b"1]")
