"""What /openapi.json says of requests and answers beyond what their signatures do."""

from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI, Query

ORG = Query(None, description="Another org than the key's own: for system admins.")
_HEADERS = {
    "if-match": 'Entity tags: only where what is there has one of them (`"42"`), or is there at all (`*`). Else 412, with the tag now.',
    "if-none-match": "`*`: only where there is nothing yet. Else 412.",
    "switchboard-reason": "Why: kept with the revision. At most 500 characters.",
}


def body(schema: Any, content_type: str = "application/json", required: bool = True) -> dict[str, Any]:
    """The part of an operation that says what its body is."""
    return {"requestBody": {"required": required, "content": {content_type: {"schema": schema}}}}


def headers(*names: str) -> dict[str, Any]:
    """The part of an operation that says which headers it heeds."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": _HEADERS[name]} for name in names
        ]
    }


def answers(description: str, schema: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that succeeds with these statuses (200 where none is given)."""
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}} for status in statuses or (200,)}


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def items_of(item: Any) -> dict[str, Any]:
    """The schema of a list."""
    return object_of(items={"type": "array", "items": item}, next={"type": ["string", "null"]})


def components(app: FastAPI, shapes: Iterable[Any]) -> None:
    """Have the app's document say these shapes, which its operations refer to by name. Only once it is asked for: the document takes as
    long to make as the app itself, and only a front that serves it needs it."""
    _, schemas = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    operations = app.openapi

    def whole() -> dict[str, Any]:
        document = operations()  # FastAPI keeps it
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        return document

    app.openapi = whole  # type: ignore[method-assign]  # as FastAPI's documentation extends it
